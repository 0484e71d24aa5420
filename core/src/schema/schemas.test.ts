import { describe, expect, it } from "@jest/globals";
import * as z from "zod";
import { SECTIONS } from "../kinds/sections.ts";
import { ACCEPTED } from "../../test/sections/accepted.ts";
import { REFUSED } from "../../test/sections/refused.ts";
import type { SectionKey } from "../slice.ts";
import { parse } from "./parse.ts";
import { celRules } from "./rule.ts";

describe.each(Object.entries(SECTIONS))("section %s", (section, schema: () => z.ZodType) => {
  const accepted = ACCEPTED.filter(([name]) => name === section);
  const refused = REFUSED.filter(([name]) => name === section);

  it("has cases of both kinds", () => {
    expect(accepted.length).toBeGreaterThan(0);
    expect(refused.length).toBeGreaterThan(0);
  });

  it.each(accepted.map(([, what, spec]) => [what, spec] as const))("takes %s and gives it back as it is", (_, spec) => {
    expect(parse(schema(), spec, `spec.${section}`)).toEqual({ ok: true, value: spec });
  });

  it.each(refused.map(([, what, spec, path, message]) => [what, spec, path, message] as const))(
    "refuses %s",
    (_, spec, path, message) => {
      const result = parse(schema(), spec, `spec.${section}`);
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
    const result = parse(SECTIONS[section as SectionKey](), spec, "spec");
    return result.ok ? [] : result.problems.map(({ message, fix }) => `${message}: ${String(fix)}`);
  });
  const rules = new Set(Object.values(SECTIONS).flatMap((schema) => celRules(schema()).map(({ message }) => message)));
  expect([...rules].filter((message) => !said.some((text) => text.endsWith(message)))).toEqual([]);
});

describe("what YAML makes of words", () => {
  it("takes an unquoted Off, which kubectl reads as false", () => {
    const off = { client: { mode: "Off" }, backend: { mode: "Off" } };
    expect(parse(SECTIONS.mtls(), { client: { mode: false }, backend: { mode: false } }, "spec.mtls")).toEqual({
      ok: true,
      value: off,
    });
    expect(parse(SECTIONS.mtls(), { client: { mode: true } }, "spec.mtls").ok).toBe(false);
  });

  it("takes null for a field that was left out, as the API server does", () => {
    const spec = { calls: null, sinks: null, headers: ["x-a"], fields: { a: "b", c: null } };
    expect(parse(SECTIONS.logging(), spec, "spec.logging")).toEqual({
      ok: true,
      value: { headers: ["x-a"], fields: { a: "b" } },
    });
    expect(parse(SECTIONS.logging(), { fields: { a: null } }, "spec.logging").ok).toBe(false);
    expect(parse(SECTIONS.logging(), { headers: [null] }, "spec.logging").ok).toBe(false);
  });

  it("reads header names in any case and hands them on in lower case", () => {
    const spec = { apiKey: { from: { headers: ["X-Api-Key"] } } };
    expect(parse(SECTIONS.authentication(), spec, "spec.authentication")).toEqual({
      ok: true,
      value: { apiKey: { from: { headers: ["x-api-key"] } } },
    });
  });
});
