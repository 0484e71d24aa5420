import { describe, expect, it } from "@jest/globals";
import * as z from "zod";
import { atomicList, listMap, listSet, textMap } from "@gatewarden/core/schema/list.ts";
import { celRules, defaultsTo, oneOrMore, rule } from "@gatewarden/core/schema/rule.ts";
import { wordOrOff } from "@gatewarden/core/schema/word.ts";
import { type Unknown, structural } from "../src/structural.ts";

const text = z.string().max(10);
const of = (field: z.ZodType, unknown: Unknown = "prune"): unknown => {
  const { properties } = structural(z.strictObject({ field: field.optional() }), unknown);
  return (properties as { readonly field: unknown }).field;
};

describe("structural", () => {
  it("keeps unknown keys of every object in a spec, and of none in a status", () => {
    const schema = z.strictObject({ list: atomicList(z.strictObject({ a: text }), 3) });
    const item = { type: "object", properties: { a: { type: "string", maxLength: 10 } }, required: ["a"] };
    const keep = { "x-kubernetes-preserve-unknown-fields": true };
    const list = { type: "array", minItems: 1, maxItems: 3, "x-kubernetes-list-type": "atomic" };
    const around = { type: "object", required: ["list"] };
    expect(structural(schema, "prune")).toEqual({ ...around, properties: { list: { ...list, items: item } } });
    expect(structural(schema, "preserve")).toEqual({
      ...around,
      ...keep,
      properties: { list: { ...list, items: { ...item, ...keep } } },
    });
  });

  it("says how lists merge", () => {
    const entry = z.strictObject({ name: text, value: text.exactOptional() });
    expect(of(listMap(entry, "name", 5))).toMatchObject({
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["name"],
      items: { required: ["name"] },
    });
    expect(of(listSet(text, 5))).toMatchObject({ "x-kubernetes-list-type": "set", minItems: 1, maxItems: 5 });
  });

  it("turns maps into additionalProperties with a bound", () => {
    expect(of(textMap(text, 4))).toEqual({
      type: "object",
      minProperties: 1,
      maxProperties: 4,
      additionalProperties: { type: "string", maxLength: 10 },
    });
  });

  it("gives integers their format and their bounds", () => {
    expect(of(z.int().min(1).max(5))).toEqual({ type: "integer", minimum: 1, maximum: 5, format: "int32" });
    expect(
      of(
        z
          .int()
          .min(0)
          .max(2 ** 40),
      ),
    ).toMatchObject({ format: "int64" });
  });

  it("never emits a default: it is only printed", () => {
    expect(of(defaultsTo(z.boolean(), true))).toEqual({ type: "boolean" });
  });

  it("keeps a literal as an enum of one", () => {
    expect(of(z.literal("a"))).toEqual({ type: "string", enum: ["a"] });
  });

  it("takes false for Off", () => {
    expect(of(wordOrOff(["On"]))).toEqual({ enum: ["On", "Off", false], "x-kubernetes-preserve-unknown-fields": true });
  });

  it("carries a rule's CEL half and drops a rule that only we check", () => {
    const schema = z.strictObject({ a: text.exactOptional(), b: text.exactOptional() });
    const ruled = rule(oneOrMore(schema, ["a", "b"]), {
      cel: "!(has(self.a) && has(self.b))",
      message: "has both",
      fix: "remove one",
      check: ({ a, b }) => a === undefined || b === undefined,
    });
    expect(of(ruled)).toMatchObject({
      minProperties: 1,
      "x-kubernetes-validations": [{ rule: "!(has(self.a) && has(self.b))", message: "has both: remove one" }],
    });
    expect(celRules(z.strictObject({ list: atomicList(ruled, 2) }))).toMatchObject([{ path: "list[]" }]);
  });

  it.each<readonly [string, z.ZodType, RegExp]>([
    ["a text without a bound", z.string(), /maxLength/],
    ["a list without a bound", z.array(text).meta({ "x-kubernetes-list-type": "atomic" }), /maxItems/],
    ["a list that does not say how it merges", z.array(text).max(3), /list-type/],
    ["a map without a bound", z.record(z.string(), text), /maxProperties/],
    ["an integer without bounds", z.int(), /real bounds/],
    ["a number with fractions", z.number().min(0).max(1), /type "number"/],
    ["an object that is not strict", z.object({ a: text }), /not strict/],
    ["an object that keeps what it does not know", z.looseObject({ a: text }), /not strict/],
    [
      "a set of objects",
      z
        .array(z.strictObject({ a: text }))
        .max(3)
        .meta({ "x-kubernetes-list-type": "set" }),
      /set of objects/,
    ],
    ["a key that may be missing", listMap(z.strictObject({ a: text.exactOptional() }), "a", 3), /optional/],
    ["a union of types", z.union([text, z.int().min(0).max(1)]), /anyOf|type undefined/],
    ["a union of objects", z.discriminatedUnion("t", [z.strictObject({ t: z.literal("a") })]), /oneOf|type undefined/],
    ["null", text.nullable(), /nullable/],
    ["a tuple", z.tuple([text]), /./],
    ["anything", z.unknown(), /type undefined/],
    ["two patterns", text.regex(/a/).regex(/b/), /allOf/],
    ["a lookahead", text.regex(/(?=a)/), /RE2/],
    ["a format that nobody enforces", z.cidrv4().max(20), /format/],
    ["a default", text.default("a"), /default/],
    ["a shared definition", text.meta({ id: "a" }), /./],
    ["what the server drops", text.meta({ deprecated: true }), /deprecated/],
  ])("refuses %s", (_, field, message) => {
    expect(() => of(field)).toThrow(message);
  });

  it("names the field", () => {
    const schema = z.strictObject({ a: atomicList(z.strictObject({ b: z.string() }), 2) });
    expect(() => structural(schema, "prune")).toThrow("a[].b has no maxLength");
  });
});
