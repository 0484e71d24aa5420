import { describe, expect, it } from "@jest/globals";
import { parseApiPolicy, type ParsedApiPolicy } from "../kinds/api-policy.ts";
import type { Level } from "../slice.ts";
import { type AnySlice, slices } from "../slices.ts";
import { effectiveSections } from "./policies.ts";
import type { Layer, SectionState } from "./layer.ts";

/** A policy with a denylist whose model is the policy's name, so that it shows what was folded into what. */
interface Written {
  readonly name: string;
  readonly override?: true;
  readonly audit?: true;
  readonly broken?: true;
}

const denylist = slices.find(({ key }) => key === "denylist");

function parsed({ name, override, audit, broken }: Written): ParsedApiPolicy {
  return parseApiPolicy({
    metadata: { name, namespace: "shop", uid: name, creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: {
      targetRefs: [{ kind: "Namespace" }],
      precedence: override === true ? "Override" : "Default",
      mode: audit === true ? "Audit" : "Enforce",
      denylist: { entries: broken === true ? "none" : [{ cidr: "192.0.2.0/24" }] },
    },
  });
}

interface Toy {
  readonly merge?: true;
  readonly tighten?: true;
  readonly layers: readonly (readonly [Level, ...Written[]])[];
  readonly labelled?: false;
}

function folded({ merge, tighten, layers, labelled }: Toy): {
  readonly value: unknown;
  readonly sources: readonly string[];
  readonly closed: readonly string[];
  readonly audited: unknown;
} {
  if (denylist === undefined) throw new Error("no denylist");
  const plain = Object.entries(denylist).filter(([key]) => key !== "merge" && key !== "tighten");
  const toy = {
    ...(Object.fromEntries(plain) as unknown as AnySlice),
    ...(merge === true ? { merge: (far: unknown, near: unknown) => `${String(far)}+${String(near)}` } : {}),
    ...(tighten === true
      ? { tighten: (floor: unknown, near: unknown) => ({ model: `${String(floor)}<${String(near)}>` }) }
      : {}),
  };
  const stateOf = (policy: ParsedApiPolicy): SectionState =>
    policy.broken.length > 0
      ? { ok: false, problems: policy.problems }
      : { ok: true, model: policy.key.name, warnings: [], clusters: [] };
  const found = effectiveSections(
    layers.map(([level, ...policies]): Layer => {
      const overrides = level === "Gateway" || level === "Listener" || labelled !== false;
      return { level, policies: policies.map(parsed), overrides };
    }),
    [toy],
    stateOf,
  );
  const [section] = found.sections;
  return {
    value: section?.enforced?.model,
    sources: section?.enforced?.sources.map(({ name, precedence }) => `${precedence} ${name}`) ?? [],
    closed: found.closed.map(({ policy }) => policy),
    audited: section?.audited?.model,
  };
}

describe("sections of Overrides", () => {
  it("are floors from the nearest to the farthest, which has the last word", () => {
    const layers: Toy["layers"] = [
      ["Gateway", { name: "g", override: true }],
      ["Namespace", { name: "n", override: true }],
      ["Route", { name: "r" }],
    ];
    expect(folded({ layers, tighten: true })).toMatchObject({
      value: "g<n<r>>",
      sources: ["Default r", "Override n", "Override g"],
    });
    expect(folded({ layers })).toMatchObject({ value: "g", sources: ["Override g"] });
  });

  it("stand beneath the Default of their own target", () => {
    const layers: Toy["layers"] = [["Gateway", { name: "d" }, { name: "o", override: true }]];
    expect(folded({ layers, tighten: true }).value).toBe("o<d>");
  });

  it("replace farther Defaults, or merge with them", () => {
    const layers: Toy["layers"] = [
      ["Gateway", { name: "d" }],
      ["Namespace", { name: "o", override: true }],
    ];
    expect(folded({ layers, tighten: true }).value).toBe("o");
    expect(folded({ layers, tighten: true, merge: true }).value).toBe("d+o");
    expect(folded({ layers: [...layers, ["Route", { name: "r" }]], tighten: true, merge: true }).value).toBe("o<d+r>");
  });

  it("close their targets for good when they are broken, and a nearer policy does not open them", () => {
    const layers: Toy["layers"] = [
      ["Gateway", { name: "o", override: true, broken: true }],
      ["Route", { name: "r" }],
    ];
    expect(folded({ layers }).closed).toEqual(["shop/o#denylist"]);
    const byDefault: Toy["layers"] = [
      ["Gateway", { name: "d", broken: true }],
      ["Namespace", { name: "o", override: true }],
    ];
    expect(folded({ layers: byDefault }).closed).toEqual([]);
  });

  it("are audited beside what is enforced, and count for nothing else", () => {
    const layers: Toy["layers"] = [
      ["Gateway", { name: "o", override: true, audit: true }],
      ["Route", { name: "r" }, { name: "a", audit: true }],
    ];
    expect(folded({ layers, tighten: true })).toMatchObject({ value: "r", audited: "o<a>" });
  });

  it("close the target where no Override may be", () => {
    const layers: Toy["layers"] = [["Namespace", { name: "o", override: true }, { name: "d" }]];
    expect(folded({ layers, labelled: false })).toMatchObject({ value: "d", closed: ["shop/o"] });
    const audited: Toy["layers"] = [["Namespace", { name: "o", override: true, audit: true }]];
    expect(folded({ layers: audited, labelled: false })).toMatchObject({ closed: [], audited: undefined });
  });
});
