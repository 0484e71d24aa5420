/** Whole objects on a real API server: what is refused, what is stored, and how appliers share an object. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { parseApiConsumer } from "@gatewarden/core/kinds/api-consumer.ts";
import { parseApiGrant } from "@gatewarden/core/kinds/api-grant.ts";
import { parseApiPolicy } from "@gatewarden/core/kinds/api-policy.ts";
import { parseProxyConfig } from "@gatewarden/core/kinds/proxy-config.ts";
import type { Problem } from "@gatewarden/core/problems.ts";
import type { KubeObject } from "@gatewarden/core/world.ts";
import { ACCEPTED as SECTIONS } from "../../core/test/sections/accepted.ts";
import type { Cluster } from "../../e2e/cluster/driver.ts";
import { testCluster } from "../../e2e/cluster/shared.ts";
import { type Manifest, refusals } from "./admission.ts";
import { installCrds } from "./install.ts";
import { largestConsumer, largestGrant, largestPolicy } from "./largest.ts";
import { MEND, names } from "./mend.ts";
import { ACCEPTED, type ObjectCase, REFUSED } from "./objects.ts";

const START_LIMIT_MS = 15 * 60_000;

function problemsOf(object: KubeObject): readonly Problem[] {
  switch (object.kind as ObjectCase["kind"]) {
    case "ApiPolicy":
      return parseApiPolicy(object).problems;
    case "ApiConsumer":
      return parseApiConsumer(object).problems;
    case "ApiGrant":
      return parseApiGrant(object).problems;
    case "ProxyConfig":
      return parseProxyConfig(object).problems;
  }
}

describe("objects on the API server", () => {
  let cluster: Cluster;
  let namespace: string;
  let said: ReadonlyMap<string, string>;

  const manifest = (kind: string, name: string, spec: unknown): Manifest => ({
    apiVersion: "gatewarden.io/v1alpha1",
    kind,
    metadata: { name, namespace },
    ...(spec === undefined ? {} : { spec }),
  });
  const apply = (flags: readonly string[], object: Manifest): Promise<string> =>
    cluster.kubectl(["apply", ...flags, "--filename=-"], JSON.stringify(object));
  const stored = async (kind: string, name: string): Promise<KubeObject> =>
    JSON.parse(await cluster.kubectl(["get", kind, name, "--namespace", namespace, "--output=json"])) as KubeObject;

  beforeAll(async () => {
    cluster = await testCluster();
    await installCrds(cluster);
    namespace = await cluster.createNamespace("objects");
    const all = [...ACCEPTED, ...REFUSED];
    said = await refusals(
      cluster,
      all.map(({ kind, spec }, index) => manifest(kind, `case-${String(index)}`, spec)),
    );
  }, START_LIMIT_MS);
  afterAll(() => cluster.stop());

  const numbered = [...ACCEPTED, ...REFUSED].map((one, index) => [one.what, one, `case-${String(index)}`] as const);
  const isRefused = ({ path, admitted }: ObjectCase): boolean => path !== undefined && admitted === undefined;

  it.each(numbered.filter(([, { path }]) => path !== undefined))(
    "the parser refuses %s",
    (_, { kind, spec, path, message }) => {
      const problem = problemsOf(manifest(kind, "case", spec)).find((candidate) => candidate.path === path);
      expect(problem?.message).toMatch(message ?? /$^/);
      expect(problem?.fix).toMatch(/\w/);
    },
  );

  it.each(numbered.filter(([, { path }]) => path === undefined))("the parser takes %s", (_, { kind, spec }) => {
    expect(problemsOf(manifest(kind, "case", spec))).toEqual([]);
  });

  it.each(numbered.filter(([, one]) => isRefused(one)))(
    "the server refuses %s, naming field and mend",
    (_, { path = "" }, name) => {
      const text = said.get(name) ?? "was accepted";
      if (!names(text, path)) throw new Error(`${path} is not named: ${text}`);
      expect(text).toMatch(MEND);
    },
  );

  it.each(numbered.filter(([, one]) => !isRefused(one)))("the server takes %s", (_, _case, name) => {
    expect(said.get(name)).toBeUndefined();
  });

  it.each([
    ["server-side", ["--server-side", "--validate=strict"]],
    ["client-side", ["--validate=strict"]],
  ])("stores what was applied %s as it is, defaults nowhere", async (side, flags) => {
    const spec = {
      targetRefs: [{ kind: "Namespace" }],
      ...Object.fromEntries(SECTIONS.toReversed().map(([section, , value]) => [section, value])),
    };
    await apply(flags, manifest("ApiPolicy", side, spec));
    await apply(flags, manifest("ApiPolicy", side, spec));
    const object = await stored("apol", side);
    expect(object.spec).toEqual(spec);
    expect(object.metadata.generation).toBe(1);
    expect(parseApiPolicy(object).problems).toEqual([]);
  });

  it("keeps keys that it does not know, at every depth, and the parser reports each", async () => {
    const spec = {
      targetRefs: [{ kind: "Namespace", subsection: 1 }],
      cors: { origins: ["https://a.test"] },
      rateLimit: { limits: [{ name: "all", requests: 1, per: "1m", cost: 2 }], header: true },
      authentication: { apikey: {} },
      logging: {
        sinks: [{ name: "o", type: "OTLP", otlp: { backendRef: { name: "otel", port: 1, kind: "Service" } } }],
      },
    };
    await cluster.apply(JSON.stringify(manifest("ApiPolicy", "unknown", spec)));
    const object = await stored("apol", "unknown");
    expect(object.spec).toEqual(spec);
    expect(
      parseApiPolicy(object)
        .problems.map(({ message }) => message)
        .toSorted(),
    ).toEqual([
      "unknown field spec.authentication.apikey",
      "unknown field spec.cors",
      "unknown field spec.logging.sinks[0].otlp.backendRef.kind",
      "unknown field spec.rateLimit.header",
      "unknown field spec.rateLimit.limits[0].cost",
      "unknown field spec.targetRefs[0].subsection",
    ]);
  });

  it("merges map lists of two appliers by their keys, and replaces atomic ones", async () => {
    const limit = (name: string, requests: number): object => ({ name, requests, per: "1m" });
    const applyAs = (manager: string, extra: object): Promise<string> =>
      apply(
        ["--server-side", `--field-manager=${manager}`, "--force-conflicts"],
        manifest("ApiPolicy", "shared", { targetRefs: [{ kind: "Namespace" }], ...extra }),
      );
    await applyAs("one", { rateLimit: { limits: [limit("a", 1)] }, denylist: { entries: [{ cidr: "10.0.0.0/8" }] } });
    await applyAs("two", { rateLimit: { limits: [limit("b", 2)] }, denylist: { entries: [{ cidr: "11.0.0.0/8" }] } });
    expect((await stored("apol", "shared")).spec).toMatchObject({
      rateLimit: { limits: [limit("a", 1), limit("b", 2)] },
      denylist: { entries: [{ cidr: "10.0.0.0/8" }, { cidr: "11.0.0.0/8" }] },
    });
    await applyAs("two", { targetRefs: [{ kind: "Gateway", name: "edge" }] });
    const { spec } = await stored("apol", "shared");
    expect(spec).toEqual({
      targetRefs: [{ kind: "Gateway", name: "edge" }],
      rateLimit: { limits: [limit("a", 1)] },
      denylist: { entries: [{ cidr: "10.0.0.0/8" }] },
    });
  });

  it("checks the largest objects that the bounds allow within its budget for rules", async () => {
    const largest = [
      manifest("ApiPolicy", "largest", largestPolicy()),
      manifest("ApiConsumer", "largest", largestConsumer()),
      manifest("ApiGrant", "largest", largestGrant()),
    ];
    expect(largest.flatMap(problemsOf)).toEqual([]);
    expect([...(await refusals(cluster, largest)).values()]).toEqual([]);
  });

  it("takes a false for Off, as kubectl reads an unquoted one", async () => {
    const yaml = (mode: string): string => `
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: "off", namespace: ${namespace}}
spec:
  targetRefs: [{kind: Gateway, name: edge}]
  mtls: {client: {mode: ${mode}}, backend: {mode: ${mode}}}`;
    await cluster.apply(yaml("Off"));
    const { sections, problems } = parseApiPolicy(await stored("apol", "off"));
    expect({ sections, problems }).toEqual({
      sections: { mtls: { client: { mode: "Off" }, backend: { mode: "Off" } } },
      problems: [],
    });
    await expect(cluster.apply(yaml("On"))).rejects.toThrow(/spec\.mtls\.client\.mode: Unsupported value/);
  });

  it("drops nulls of known fields, as the parser does", async () => {
    const spec = {
      targetRefs: [{ kind: "Namespace", sectionName: null }],
      mode: null,
      logging: { calls: null, sampling: 1 },
    };
    const object = manifest("ApiPolicy", "nulls", spec);
    await cluster.kubectl(["create", "--filename=-"], JSON.stringify(object));
    const parsed = parseApiPolicy(await stored("apol", "nulls"));
    expect(parsed.problems).toEqual([]);
    expect(parseApiPolicy(object)).toMatchObject({
      sections: parsed.sections,
      targetRefs: parsed.targetRefs,
      problems: [],
    });
  });
});
