/**
 * Which policies hold where (api.md "Composition"): levels far to near, the older of two at one target; fold.ts makes one value of a section.
 * The result says for each section what is enforced, what is audited beside it, and what closes the target.
 */
import type { ParsedApiPolicy } from "../kinds/api-policy.ts";
import type { AnySlice } from "../slices.ts";
import { foldSection, nothingFolded, type Valued } from "./fold.ts";
import { type Closed, type Layer, policyText, type StateOf, wholeFault, writes } from "./layer.ts";

export interface Effective {
  readonly slice: AnySlice;
  readonly enforced?: Valued;
  readonly audited?: Valued;
}

export interface Verdict {
  readonly sections: readonly Effective[];
  readonly closed: readonly Closed[];
  /** Every policy that had a part in it, also those that closed it. */
  readonly policies: readonly ParsedApiPolicy[];
}

export function effectiveSections(layers: readonly Layer[], slices: readonly AnySlice[], stateOf: StateOf): Verdict {
  const closed: Closed[] = [];
  const taking = new Set<ParsedApiPolicy>();
  for (const layer of layers) {
    for (const policy of layer.policies) {
      const fault = wholeFault(policy, layer);
      if (fault === undefined) continue;
      closed.push({ policy: policyText(policy), level: layer.level, detail: fault.message });
      taking.add(policy);
    }
  }
  const all = layers.flatMap(({ policies }) => policies);
  const audits = all.some(({ mode }) => mode === "Audit");
  const sections = slices.flatMap((slice): readonly Effective[] => {
    // Most sections are written by nobody.
    if (!all.some((policy) => writes(policy, slice.key))) return [];
    const enforced = foldSection(slice, layers, stateOf, "Enforce");
    const audited = audits ? foldSection(slice, layers, stateOf, "Audit") : nothingFolded;
    closed.push(...enforced.closed);
    for (const policy of [...enforced.policies, ...audited.policies]) taking.add(policy);
    if (enforced.value === undefined && audited.value === undefined) return [];
    return [
      {
        slice,
        ...(enforced.value === undefined ? {} : { enforced: enforced.value }),
        ...(audited.value === undefined ? {} : { audited: audited.value }),
      },
    ];
  });
  return { sections, closed, policies: [...taking] };
}
