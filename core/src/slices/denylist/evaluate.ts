/** Whether one address is on the list. */
import { inRange } from "../../simulate/address.ts";
import type { Evaluate } from "../../simulate/contract.ts";
import type { Model } from "./slice.ts";

export const evaluate: Evaluate<Model> = {
  denylist({ ranges }, { call }) {
    const live = ranges.filter((range) => range.live);
    if (live.length === 0) return undefined;
    // Envoy goes through the policies in the order of their names.
    const [found] = live
      .filter(({ cidr }) => inRange(call.address, cidr))
      .toSorted((a, b) => (a.policy < b.policy ? -1 : a.policy > b.policy ? 1 : 0));
    if (found === undefined) return { result: "Pass", reason: `${call.address} is not on it` };
    const reason = `${call.address} is in ${found.cidr}`;
    return { result: "Deny", status: 403, code: "GW-DENY-001", policy: found.policy, reason };
  },
};
