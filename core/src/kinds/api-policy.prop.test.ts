import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { mutants } from "../../test/sections/mutate.ts";
import type { KubeObject } from "../world.ts";
import { parseApiConsumer } from "./api-consumer.ts";
import { parseApiPolicy } from "./api-policy.ts";

const target = { kind: "HTTPRoute", name: "orders" };
const object = (spec: unknown): KubeObject => ({ metadata: { name: "orders", namespace: "shop" }, spec });

describe("parsers", () => {
  it("never throw, whatever the JSON, and explain everything that they refuse", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (json) => {
        for (const { problems } of [parseApiPolicy(object(json)), parseApiConsumer(object(json))]) {
          expect(problems.length).toBeGreaterThan(0); // random JSON is no policy
          for (const { path, message, fix } of problems) {
            expect(message).toContain(path);
            expect(fix).toMatch(/\w/);
          }
        }
      }),
    );
  });

  it("take a damaged section whole, or break exactly it, and keep the targets and the other sections", () => {
    fc.assert(
      fc.property(mutants, ({ section, spec }) => {
        const other =
          section === "clientIP"
            ? { denylist: { entries: [{ cidr: "10.0.0.0/8" }] } }
            : { clientIP: { trustedHops: 1 } };
        const parsed = parseApiPolicy(object({ targetRefs: [target], ...other, [section]: spec }));
        expect(parsed.targetRefs).toHaveLength(1);
        expect(parsed.sections).toMatchObject(other);
        const isThere = section in parsed.sections;
        const isBroken = parsed.broken.some((key) => key === section);
        expect([isThere, isBroken].filter(Boolean)).toHaveLength(spec === null ? 0 : 1);
        expect(parsed.problems.some((problem) => problem.section === section)).toBe(isBroken);
      }),
      { numRuns: 500 },
    );
  });

  it("take again what they gave", () => {
    fc.assert(
      fc.property(mutants, ({ section, spec }) => {
        const { sections, problems } = parseApiPolicy(object({ targetRefs: [target], [section]: spec }));
        fc.pre(problems.length === 0);
        expect(parseApiPolicy(object({ targetRefs: [target], ...sections })).sections).toEqual(sections);
      }),
    );
  });
});
