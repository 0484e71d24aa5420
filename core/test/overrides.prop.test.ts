/** Overrides over random hierarchies (rules R11): whatever else is written, nothing passes that they refuse. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { Model as Authentication } from "../src/slices/authentication/model.ts";
import type { Model as Authorization } from "../src/slices/authorization/model.ts";
import type { Model as Logging } from "../src/slices/logging/model.ts";
import type { Model as Mtls } from "../src/slices/mtls/model.ts";
import type { Model as RateLimit } from "../src/slices/rateLimit/model.ts";
import { calls, enforced, hierarchies, hierarchiesOf, LEVELS, refuses, verdictOf, type Written } from "./hierarchy.ts";

const RUNS = { numRuns: 300 };

/** The Overrides down to a level, and nothing else. */
function floors(written: readonly Written[], level: number): readonly Written[] {
  return written.filter((policy) => policy.spec["precedence"] === "Override" && policy.level <= level);
}

describe("an effective policy", () => {
  it.each([
    ["all sections", hierarchies],
    ...(["denylist", "allowlist", "authentication", "mtls"] as const).map(
      (section) => [section, hierarchiesOf(section)] as const,
    ),
  ] as const)("of %s never lets pass what the Overrides down to any level refuse", (_, some) => {
    let refused = 0;
    let passed = 0;
    fc.assert(
      fc.property(some, fc.array(calls, { minLength: 5, maxLength: 10 }), (written, several) => {
        const whole = verdictOf(written);
        for (const level of LEVELS.keys()) {
          const floor = verdictOf(floors(written, level));
          for (const call of several) {
            if (refuses(floor, call, false)) {
              refused += 1;
              expect({ call, refused: refuses(whole, call) }).toEqual({ call, refused: true });
            } else if (!refuses(whole, call)) passed += 1;
          }
        }
      }),
      { numRuns: 400 },
    );
    // It would hold for a policy that refuses everything, and where no floor ever refuses.
    expect(refused).toBeGreaterThan(100);
    expect(passed).toBeGreaterThan(100);
  });

  it("is closed by a broken Override, whatever is nearer", () => {
    let closed = 0;
    fc.assert(
      fc.property(hierarchies, (written) => {
        for (const level of LEVELS.keys()) {
          if (verdictOf(floors(written, level)).closed.length === 0) continue;
          closed += 1;
          expect(verdictOf(written).closed.length).toBeGreaterThan(0);
        }
      }),
      RUNS,
    );
    expect(closed).toBeGreaterThan(30);
  });

  it("counts every limit of an Override, asks every one of its sets of rules, and records what it records", () => {
    fc.assert(
      fc.property(hierarchies, (written) => {
        const whole = verdictOf(written);
        const floor = verdictOf(floors(written, LEVELS.length));
        const limits = (enforced(floor, "rateLimit") as RateLimit | undefined)?.limits ?? [];
        const counted = (enforced(whole, "rateLimit") as RateLimit | undefined)?.limits ?? [];
        for (const { id } of limits) expect(counted.map((limit) => limit.id)).toContain(id);

        const sets = (enforced(floor, "authorization") as Authorization | undefined)?.sets ?? [];
        const asked = (enforced(whole, "authorization") as Authorization | undefined)?.sets ?? [];
        for (const set of sets) expect(asked).toContainEqual(set);

        const wanted = enforced(floor, "logging") as Logging | undefined;
        if (wanted === undefined) return;
        const logged = enforced(whole, "logging") as Logging;
        const widths = ["None", "Denied", "Errors", "All"];
        expect(widths.indexOf(logged.calls)).toBeGreaterThanOrEqual(widths.indexOf(wanted.calls));
        expect(logged.sampling).toBeGreaterThanOrEqual(wanted.sampling);
        expect(logged.headers).toEqual(expect.arrayContaining([...wanted.headers]));
        expect(logged.fields).toMatchObject(wanted.fields);
      }),
      RUNS,
    );
  });

  it("has no mode of authentication that any Override forbids", () => {
    let forbidden = 0;
    fc.assert(
      fc.property(hierarchies, (written) => {
        const whole = verdictOf(written);
        const model = enforced(whole, "authentication") as Authentication | undefined;
        for (const one of floors(written, LEVELS.length)) {
          const { closed, sections } = verdictOf([one]);
          const [alone] = sections.filter(({ slice }) => slice.key === "authentication");
          if (closed.length > 0 || alone?.enforced === undefined) continue;
          // Of two Overrides at one target the older has the section.
          const rivals = written.filter(({ level, spec }) => level === one.level && spec["precedence"] === "Override");
          if (rivals.length > 1) continue;
          forbidden += 1;
          for (const mode of (alone.enforced.model as Authentication).forbid) expect(model?.mode).not.toBe(mode);
        }
      }),
      RUNS,
    );
    expect(forbidden).toBeGreaterThan(30);
  });

  it("asks for certificates no less than an Override", () => {
    const modes = ["Off", "Optional", "Strict"];
    const modeOf = (model: unknown): number => modes.indexOf((model as Mtls | undefined)?.client?.mode ?? "Off");
    fc.assert(
      fc.property(hierarchies, (written) => {
        const floor = modeOf(enforced(verdictOf(floors(written, LEVELS.length)), "mtls"));
        expect(modeOf(enforced(verdictOf(written), "mtls"))).toBeGreaterThanOrEqual(floor);
      }),
      RUNS,
    );
  });
});
