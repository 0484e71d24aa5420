/**
 * Why structural.ts is as strict as it is: what a real API server does with a schema as zod emits it, or with one that somebody might write.
 * Each case is a pitfall of docs/design: refused outright, dropped without a word, or not enforced.
 */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import * as z from "zod";
import type { Cluster } from "../../e2e/cluster/driver.ts";
import { testCluster } from "../../e2e/cluster/shared.ts";
import { type SchemaNode, jsonSchema, structural } from "../src/structural.ts";

const START_LIMIT_MS = 15 * 60_000;
const text = z.string().max(10);

function crd(plural: string, spec: SchemaNode): string {
  return JSON.stringify({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.pitfalls.test` },
    spec: {
      group: "pitfalls.test",
      scope: "Namespaced",
      names: { kind: plural, listKind: `${plural}list`, plural, singular: plural },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object", properties: { spec } } },
        },
      ],
    },
  });
}

describe("pitfalls between zod and the API server", () => {
  let cluster: Cluster;
  let namespace: string;
  beforeAll(async () => {
    cluster = await testCluster();
    namespace = await cluster.createNamespace("pitfalls");
  }, START_LIMIT_MS);
  afterAll(async () => {
    await cluster.kubectl(["delete", "crd", ...INSTALLED, "--ignore-not-found", "--wait=false"]);
    await cluster.stop();
  });

  const dryRun = (spec: SchemaNode): Promise<string> =>
    cluster.kubectl(
      ["create", "--dry-run=server", "--validate=false", "--output=json", "--filename=-"],
      crd("tries", spec),
    );
  const raw = (field: z.ZodType): SchemaNode => jsonSchema(z.object({ field: field.optional() }));

  it.each<readonly [string, SchemaNode, RegExp]>([
    ["a strict object", raw(z.strictObject({ a: text })), /additionalProperties.*mutual exclusive/],
    ["a loose object", raw(z.looseObject({ a: text })), /additionalProperties.*mutual exclusive/],
    [
      "a shared definition",
      jsonSchema(z.object({ a: text.meta({ id: "shared" }), b: text.meta({ id: "other" }) })),
      /\$ref|Forbidden/,
    ],
    ["a union of types", raw(z.union([text, z.int()])), /type: Required value|must be empty/],
    [
      "a union of objects",
      raw(z.discriminatedUnion("t", [z.object({ t: z.literal("a"), a: text })])),
      /oneOf|Required value/,
    ],
    ["two patterns", raw(text.regex(/a/).regex(/b/)), /allOf/],
    [
      "a lookahead",
      raw(text.regex(/(?=a)b/)),
      /invalid.*pattern|error parsing regexp|must be a valid regular expression/,
    ],
    ["anything", raw(z.unknown()), /type: Required value/],
    [
      "unique items",
      { type: "object", properties: { a: { type: "array", uniqueItems: true, items: { type: "string" } } } },
      /uniqueItems.*Forbidden|uniqueItems cannot be/,
    ],
    [
      "a list keyed by an optional field",
      {
        type: "object",
        properties: {
          a: {
            type: "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            items: { type: "object", properties: { k: { type: "string" } } },
          },
        },
      },
      /default.*required|Required value/,
    ],
    [
      "a rule over a list without bounds",
      {
        type: "object",
        properties: {
          a: {
            type: "array",
            items: { type: "string", "x-kubernetes-validations": [{ rule: "self.matches('^a+$')" }] },
          },
        },
      },
      /exceeds budget/,
    ],
    [
      "a rule about a field that is not there",
      { type: "object", "x-kubernetes-validations": [{ rule: "has(self.b)" }], properties: { a: { type: "string" } } },
      /undefined field/,
    ],
  ])("the server refuses %s", async (_, spec, message) => {
    await expect(dryRun(spec)).rejects.toThrow(message);
  });

  it.each<readonly [string, SchemaNode, string]>([
    ["deprecated", raw(text.meta({ deprecated: true })), "deprecated"],
    ["examples", raw(text.meta({ examples: ["a"] })), "examples"],
    ["read-only", raw(text.readonly()), "readOnly"],
  ])("the server drops %s without a word", async (_, spec, key) => {
    expect(JSON.stringify(spec)).toContain(key);
    expect(await dryRun(spec)).not.toContain(`"${key}"`);
  });

  const INSTALLED = ["pruned.pitfalls.test", "kept.pitfalls.test"];

  it("prunes keys that it does not know, unless the object says otherwise", async () => {
    const schema = z.strictObject({ a: text });
    for (const [plural, unknown] of [
      ["pruned", "prune"],
      ["kept", "preserve"],
    ] as const) {
      const resource = `${plural}.pitfalls.test`;
      await cluster.apply(crd(plural, structural(schema, unknown)));
      await cluster.waitForCondition({ resource: "customresourcedefinitions", name: resource }, "Established");
      const object = {
        apiVersion: "pitfalls.test/v1",
        kind: plural,
        metadata: { name: "one", namespace },
        spec: { a: "b", misspelt: 1 },
      };
      await cluster.kubectl(["create", "--validate=false", "--filename=-"], JSON.stringify(object));
      const stored = await cluster.kubectl([
        "get",
        resource,
        "one",
        "--namespace",
        namespace,
        "--output=jsonpath={.spec}",
      ]);
      expect(JSON.parse(stored)).toEqual(unknown === "prune" ? { a: "b" } : object.spec);
    }
  });

  it("loses a bare refinement, which is why rules have a CEL half", () => {
    const refined = jsonSchema(z.object({ a: text.refine((value) => value === "b") }));
    expect(refined).toEqual(jsonSchema(z.object({ a: text })));
  });

  it("does not enforce a format that it does not know", async () => {
    await dryRun(raw(z.cidrv4().max(20).meta({ pattern: "" }))); // accepted, with a mere warning
    expect(() => structural(z.strictObject({ a: z.cidrv4().max(20) }), "prune")).toThrow(/format/);
  });
});
