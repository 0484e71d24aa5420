import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { parse } from "yaml";
import { runCommand } from "@gatewarden/e2e/cluster/child-process.ts";
import { type Judgement, judgeRules } from "@gatewarden/e2e/cluster/monitoring.ts";
import { helmCommand } from "@gatewarden/e2e/cluster/parts.ts";
import { CHARTS, type Rendered, render, renderText } from "./chart.ts";

const REPOSITORY = join(CHARTS, "..");
const TESTDATA = join(import.meta.dirname, "testdata");

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

function find(objects: readonly Rendered[], kind: string, name = "gatewarden"): Rendered {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`no ${kind} ${name} was rendered`);
  return found;
}

const rulesOf = (object: Rendered): readonly Rule[] => object["rules"] as readonly Rule[];

describe("helm lint", () => {
  it.each(["gatewarden", "gatewarden-crds"])("has nothing against chart %s", async (chart) => {
    const { stdout } = await runCommand(await helmCommand(), ["lint", "--strict", join(CHARTS, chart)]);
    expect(stdout).toContain("0 chart(s) failed");
  });
});

describe("golden renderings", () => {
  const cases = readdirSync(TESTDATA).filter((file) => file.endsWith(".values.json"));

  it("are several", () => expect(cases.length).toBeGreaterThan(3));

  it.each(cases)("%s", async (file) => {
    const golden = join(TESTDATA, file.replace(".values.json", ".yaml"));
    const values = JSON.parse(readFileSync(join(TESTDATA, file), "utf8")) as object;
    const text = handWritten(await renderText("gatewarden", values));
    if (process.env["UPDATE"] === "1") writeFileSync(golden, text);
    expect(text).toBe(readFileSync(golden, "utf8"));
  });
});

/** Without the templates that are generated: their sources have tests of their own, and `rights` below compares. */
function handWritten(rendered: string): string {
  const generated = readdirSync(join(REPOSITORY, "operator", "deploy"));
  return rendered
    .split(/^---\n/m)
    .filter((part) => !generated.some((file) => part.includes(`# Source: gatewarden/templates/${file}\n`)))
    .join("---\n");
}

describe("the values' schema", () => {
  it.each([
    ["an unknown value", { replica: 3 }, "replica"],
    ["an unknown nested value", { image: { tags: "x" } }, "tags"],
    ["no replica", { replicas: 0 }, "replicas"],
    ["a number as text", { replicas: "2" }, "replicas"],
    ["a digest that is none", { image: { digest: "latest" } }, "digest"],
    ["an unknown infrastructure", { infrastructure: "docker" }, "infrastructure"],
    ["an issuer of another kind", { issuer: { kind: "Vault" } }, "issuer.kind|/issuer/kind"],
    ["a namespace with capitals", { namespaces: ["Shop"] }, "namespaces"],
    ["a namespace twice", { namespaces: ["shop", "shop"] }, "namespaces"],
    ["an address without a prefix", { jwks: { allowCidrs: ["10.0.0.1"] } }, "allowCidrs"],
    ["a relative log folder", { logDirectory: "logs" }, "logDirectory"],
    ["an unknown log level", { logLevel: "trace" }, "logLevel"],
    ["monitoring that nothing can reach", { serviceMonitor: { enabled: true } }, "networkPolicy.metricsFrom"],
  ])("refuses %s and names it", async (_, values, named) => {
    await expect(renderText("gatewarden", values)).rejects.toThrow(new RegExp(named));
  });

  it("refuses an unknown value of gatewarden-crds", async () => {
    await expect(renderText("gatewarden-crds", { kept: true })).rejects.toThrow(/kept/);
  });

  it("takes what values.yaml says and describes each value", () => {
    const schema = JSON.parse(readFileSync(join(CHARTS, "gatewarden", "values.schema.json"), "utf8")) as Schema;
    const values = parse(readFileSync(join(CHARTS, "gatewarden", "values.yaml"), "utf8")) as object;
    expect(undescribed(schema, values, "")).toEqual([]);
    expect(Object.keys(schema.properties ?? {}).filter((key) => !(key in values))).toEqual(["global"]);
  });
});

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
}

/** Paths of values that the schema does not describe. */
function undescribed(schema: Schema, values: object, path: string): readonly string[] {
  return Object.entries(values).flatMap(([key, value]) => {
    const here = `${path}.${key}`;
    const described = schema.properties?.[key];
    if (described?.description === undefined) return [here];
    if (described.properties === undefined || typeof value !== "object" || value === null) return [];
    return undescribed(described, value as object, here);
  });
}

describe("rights", () => {
  it("are those that the tests of the operator run with", async () => {
    const objects = await render("gatewarden");
    const source = readFileSync(join(REPOSITORY, "operator", "deploy", "rbac.yaml"), "utf8");
    for (const part of source.split(/^---\n/m)) {
      const wanted = parse(part) as Rendered;
      if (wanted["rules"] === undefined) continue;
      expect(find(objects, wanted.kind, wanted.metadata.name)["rules"]).toEqual(wanted["rules"]);
    }
  });

  it("include no Secret of the whole cluster, no wildcard and no way to more rights", async () => {
    const objects = await render("gatewarden", { namespaces: ["shop"], infrastructure: "external" });
    const bound = objects
      .filter(({ kind }) => kind === "ClusterRoleBinding")
      .map(({ roleRef }) => (roleRef as { readonly name: string }).name);
    expect(bound.toSorted()).toEqual(["gatewarden", "gatewarden-fallback"]);
    const rules = bound.flatMap((name) => rulesOf(find(objects, "ClusterRole", name)));
    for (const { apiGroups, resources, verbs } of rules) {
      expect([...apiGroups, ...resources, ...verbs]).not.toContain("*");
      expect(verbs).not.toEqual(expect.arrayContaining(["escalate"]));
      expect(verbs).not.toEqual(expect.arrayContaining(["bind"]));
      expect(verbs).not.toEqual(expect.arrayContaining(["impersonate"]));
      expect(resources).not.toContain("secrets");
      expect(apiGroups).not.toContain("rbac.authorization.k8s.io");
    }
  });

  it("reach the Secrets of the namespaces that are named, and of no other", async () => {
    const objects = await render("gatewarden", { namespaces: ["shop", "pay"] });
    const bindings = objects.filter(
      ({ kind, roleRef }) =>
        kind === "RoleBinding" && (roleRef as { readonly name: string }).name === "gatewarden-secrets",
    );
    expect(bindings.map(({ metadata }) => metadata.namespace)).toEqual(["shop", "pay"]);
  });

  it("that are aggregated hold neither override nor writing of ApiGrants", async () => {
    const aggregated = (await render("gatewarden")).filter(({ metadata }) =>
      Object.keys(metadata.labels ?? {}).some((label) => label.includes("aggregate-to")),
    );
    expect(aggregated.length).toBe(2);
    for (const { resources, verbs } of aggregated.flatMap(rulesOf)) {
      expect([...resources, ...verbs]).not.toContain("*");
      expect(verbs).not.toContain("override");
      if (resources.includes("apigrants")) expect(verbs).toEqual(["get", "list", "watch"]);
    }
  });
});

describe("chart gatewarden-crds", () => {
  it("brings every kind, kept unless told otherwise", async () => {
    const files = readdirSync(join(REPOSITORY, "crds", "out"));
    const kept = await render("gatewarden-crds");
    expect(kept.map(({ metadata }) => metadata.name).sort()).toEqual(
      files
        .map((file) => (parse(readFileSync(join(REPOSITORY, "crds", "out", file), "utf8")) as Rendered).metadata.name)
        .sort(),
    );
    for (const { metadata } of kept) expect(metadata.annotations?.["helm.sh/resource-policy"]).toBe("keep");
    for (const { metadata } of await render("gatewarden-crds", { keep: false }))
      expect(metadata.annotations?.["helm.sh/resource-policy"]).toBeUndefined();
  });

  it("stays below 300 KiB together with chart gatewarden", async () => {
    const text = (await renderText("gatewarden-crds")) + (await renderText("gatewarden"));
    expect(Buffer.byteLength(text)).toBeLessThan(300 * 1024);
  });
});

describe("alerts", () => {
  interface Alert {
    readonly alert: string;
    readonly expr: string;
    readonly annotations: { readonly runbook_url: string; readonly summary: string };
  }
  const alerts = async (): Promise<readonly Alert[]> => {
    const rule = find(await render("gatewarden", { prometheusRule: { enabled: true } }), "PrometheusRule");
    return (rule["spec"] as { readonly groups: readonly [{ readonly rules: readonly Alert[] }] }).groups[0].rules;
  };

  it("each have a page", async () => {
    for (const { alert, annotations } of await alerts()) {
      expect(annotations.runbook_url.endsWith(`/${alert}.md`)).toBe(true);
      expect(existsSync(join(REPOSITORY, "docs", "runbooks", `${alert}.md`))).toBe(true);
    }
    const pages = readdirSync(join(REPOSITORY, "docs", "runbooks")).filter((file) => file !== "README.md");
    expect(pages.length).toBe((await alerts()).length);
  });

  const judged = async (rules: readonly object[]): Promise<Judgement> =>
    judgeRules(JSON.stringify({ groups: [{ name: "gatewarden", rules }] }));

  it("are rules that Prometheus takes", async () => {
    const rules = await alerts();
    const { errors, alerts: taken } = await judged(rules);
    expect(errors).toEqual([]);
    expect(taken.map(({ alert }) => alert)).toEqual(rules.map(({ alert }) => alert));
    const [first] = rules;
    const broken = [{ ...first, expr: "sum(up" }, { ...first, for: "5 minutes" }, { ...first, severity: "critical" }];
    for (const rule of broken) expect((await judged([rule])).errors).not.toEqual([]);
  });

  it("ask for metrics that are documented, of this installation only", async () => {
    const documented = readFileSync(join(REPOSITORY, "docs", "metrics.md"), "utf8");
    const rules = await alerts();
    for (const { metrics } of (await judged(rules)).alerts)
      for (const name of metrics) if (name !== "up") expect(documented).toContain(`\`${name}\``);
    for (const { expr } of rules) {
      const selectors = [...expr.matchAll(/(?:gatewarden_\w+|\bup)(\{[^}]*\})?/g)];
      expect(selectors.length).toBeGreaterThan(0);
      for (const [, matchers] of selectors) expect(matchers).toContain('job="gatewarden",namespace="gatewarden-system"');
    }
  });
});
