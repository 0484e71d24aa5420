/** What the pages about composition promise for the manifests that they show. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";
import { parseAllDocuments } from "yaml";
import { createEngine } from "../src/engine.ts";
import type { Change, JsonObject, Kind, KubeObject, Output } from "../src/world.ts";
import { backend, gatewayClass, OPTIONS, put, route, service } from "./objects.ts";

/** The YAML blocks of a page, each a list of objects. */
function blocks(page: string): readonly (readonly KubeObject[])[] {
  const text = readFileSync(new URL(`../../docs/${page}`, import.meta.url), "utf8");
  return [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, yaml = ""]) =>
    parseAllDocuments(yaml).map((document) => document.toJS() as KubeObject),
  );
}

/** The output with routes of these names, for hosts `NAME.test`, on Gateway infra/edge. */
function served(objects: readonly KubeObject[], routes: readonly string[]): Output {
  const allowedRoutes = { namespaces: { from: "All" } };
  const listeners = [{ name: "http", port: 80, protocol: "HTTP", allowedRoutes }];
  const changes: readonly Change[] = [
    gatewayClass,
    put("Gateway", "edge", { spec: { gatewayClassName: "gatewarden", listeners } }, { namespace: "infra" }),
    ...service("app", { address: "10.0.0.1", port: 8080 }),
    ...routes.map((name) =>
      route(name, {
        parentRefs: [{ name: "edge", namespace: "infra" }],
        hostnames: [`${name}.test`],
        rules: [{ backendRefs: [backend("app")] }],
      }),
    ),
    ...objects.map((object, created) => {
      const { name, namespace = "" } = object.metadata;
      return put(object.kind as Kind, name, object, { namespace, created });
    }),
  ];
  const output = createEngine({ ...OPTIONS, requirePolicy: true }).apply(changes, Date.parse("2026-12-01T00:00:00Z"));
  expect(output.faults).toEqual([]);
  return output;
}

interface EnvoyRoute {
  readonly metadata: { readonly filter_metadata: { readonly gatewarden: JsonObject } };
  readonly typed_per_filter_config?: Readonly<Record<string, JsonObject>>;
}

/** Envoy's routes of a host but the last, which is everybody's 404. */
function routesOf({ resources }: Output, host: string): readonly EnvoyRoute[] {
  const scope = resources.find(({ name }) => name === `http-80|${host}.test`)?.json as unknown as {
    readonly route_configuration: { readonly virtual_hosts: readonly [{ readonly routes: readonly EnvoyRoute[] }] };
  };
  return scope.route_configuration.virtual_hosts[0].routes.slice(0, -1);
}

const metadataOf = (output: Output, host: string): readonly JsonObject[] =>
  routesOf(output, host).map(({ metadata }) => metadata.filter_metadata.gatewarden);

describe("docs/composition.md", () => {
  it("levels: a key is wanted, and the scanner is refused before", () => {
    const [levels = []] = blocks("composition.md");
    const expected = { authentication: "shop/orders#authentication", denylist: "shop/house-rules#denylist" };
    for (const metadata of metadataOf(served(levels, ["orders"]), "orders")) expect(metadata).toMatchObject(expected);
  });
});

describe("docs/overrides.md", () => {
  const [example = []] = blocks("overrides.md");
  const output = served(example, ["orders", "prices"]);

  it("says what the teams read in Programmed", () => {
    const text = readFileSync(new URL("../../docs/overrides.md", import.meta.url), "utf8");
    const [, shown = ""] = /^```text\n(.*?)^```$/ms.exec(text) ?? [];
    const lines = output.statuses.flatMap(({ key, status }) => {
      const [ancestor] = status?.kind === "ApiPolicy" ? status.ancestors : [];
      const { reason, message } = ancestor?.programmed ?? {};
      return reason === undefined ? [] : [`${key.name} ${reason} ${String(message)}`];
    });
    expect(
      shown
        .trim()
        .split("\n")
        .map((line) => line.replaceAll(/ +/g, " ")),
    ).toEqual(lines);
  });

  it("counts the platform's limit and the team's", () => {
    for (const metadata of metadataOf(output, "orders"))
      expect(metadata).toMatchObject({
        authentication: "shop/orders#authentication",
        "rateLimit:0!": "infra/floor#rateLimit",
        "rateLimit:3": "shop/orders#rateLimit",
      });
  });

  it("refuses the route that wants to be open, in the name of the floor", () => {
    expect(metadataOf(output, "prices")).toMatchObject([
      { code: "GW-POLICY-001", policy: "infra/floor#authentication" },
    ]);
    expect(routesOf(output, "prices")[0]?.typed_per_filter_config).toHaveProperty("authz");
  });
});

describe("docs/audit-mode.md", () => {
  it("evaluates the newer list beside the older, which alone refuses", () => {
    const [example = []] = blocks("audit-mode.md");
    const open = put("ApiPolicy", "open", {
      spec: {
        targetRefs: [{ kind: "Namespace" }],
        authentication: { mode: "Public", reason: "the page is about lists" },
      },
    });
    const output = served([...example, { ...(open.object as KubeObject), kind: "ApiPolicy" }], ["orders"]);
    const [only] = routesOf(output, "orders");
    expect(only?.typed_per_filter_config?.["allowlist"]).toMatchObject({
      rbac: {
        rules: { policies: { "shop/offices#allowlist": {} } },
        shadow_rules: { policies: { "shop/new-offices#allowlist": {} } },
      },
    });
  });
});
