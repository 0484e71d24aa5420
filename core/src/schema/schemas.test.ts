import { describe, expect, it } from "@jest/globals";
import { z } from "zod";
import { schema as allowlist } from "../slices/allowlist/schema.ts";
import { schema as authentication } from "../slices/authentication/schema.ts";
import { schema as clientIP } from "../slices/clientIP/schema.ts";
import { schema as denylist } from "../slices/denylist/schema.ts";
import { schema as logging } from "../slices/logging/schema.ts";
import { schema as mtls } from "../slices/mtls/schema.ts";
import { schema as rateLimit } from "../slices/rateLimit/schema.ts";
import { schema as transport } from "../slices/transport/schema.ts";
import { ACCEPTED } from "../../test/sections/accepted.ts";
import { REFUSED } from "../../test/sections/refused.ts";
import { parse } from "./parse.ts";
import { celRules } from "./rule.ts";

const SCHEMAS: Readonly<Record<string, z.ZodType>> = {
  authentication,
  rateLimit,
  mtls,
  transport,
  allowlist,
  denylist,
  clientIP,
  logging,
};

describe.each(Object.entries(SCHEMAS))("section %s", (section, schema) => {
  const accepted = ACCEPTED.filter(([name]) => name === section);
  const refused = REFUSED.filter(([name]) => name === section);

  it("has cases of both kinds", () => {
    expect(accepted.length).toBeGreaterThan(0);
    expect(refused.length).toBeGreaterThan(0);
  });

  it.each(accepted.map(([, what, spec]) => [what, spec] as const))("takes %s and gives it back as it is", (_, spec) => {
    expect(parse(schema, spec, `spec.${section}`)).toEqual({ ok: true, value: spec });
  });

  it.each(refused.map(([, what, spec, path, message]) => [what, spec, path, message] as const))(
    "refuses %s",
    (_, spec, path, message) => {
      const result = parse(schema, spec, `spec.${section}`);
      if (result.ok) throw new Error("was accepted");
      const problem = result.problems.find((candidate) => candidate.path === path);
      if (problem === undefined) throw new Error(`no problem at ${path}: ${JSON.stringify(result.problems)}`);
      expect(problem.reason).toBe("Invalid");
      expect(problem.message).toContain(path);
      expect(problem.message).toMatch(message);
      expect(problem.fix).toMatch(/\w/);
    },
  );
});

it("has a case for every rule that the API server checks", () => {
  const said = REFUSED.flatMap(([section, , spec]) => {
    const result = parse(SCHEMAS[section] ?? z.never(), spec, "spec");
    return result.ok ? [] : result.problems.map(({ message, fix }) => `${message}: ${String(fix)}`);
  });
  const rules = new Set(Object.values(SCHEMAS).flatMap((schema) => celRules(schema).map(({ message }) => message)));
  expect([...rules].filter((message) => !said.some((text) => text.endsWith(message)))).toEqual([]);
});

describe("what YAML makes of words", () => {
  it("takes an unquoted Off, which kubectl reads as false", () => {
    const off = { client: { mode: "Off" }, backend: { mode: "Off" } };
    expect(parse(mtls, { client: { mode: false }, backend: { mode: false } }, "spec.mtls")).toEqual({
      ok: true,
      value: off,
    });
    expect(parse(mtls, { client: { mode: true } }, "spec.mtls").ok).toBe(false);
  });

  it("takes null for a field that was left out, as the API server does", () => {
    const spec = { calls: null, sinks: null, headers: ["x-a"], fields: { a: "b", c: null } };
    expect(parse(logging, spec, "spec.logging")).toEqual({ ok: true, value: { headers: ["x-a"], fields: { a: "b" } } });
    expect(parse(logging, { fields: { a: null } }, "spec.logging").ok).toBe(false);
    expect(parse(logging, { headers: [null] }, "spec.logging").ok).toBe(false);
  });

  it("reads header names in any case and hands them on in lower case", () => {
    const spec = { apiKey: { from: { headers: ["X-Api-Key"] } } };
    expect(parse(authentication, spec, "spec.authentication")).toEqual({
      ok: true,
      value: { apiKey: { from: { headers: ["x-api-key"] } } },
    });
  });
});
