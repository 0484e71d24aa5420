/** Whether one address is on every list. */
import { inRange } from "../../simulate/address.ts";
import type { Evaluate } from "../../simulate/contract.ts";
import type { Model } from "./slice.ts";

export const evaluate: Evaluate<Model> = {
  allowlist({ policy, ranges, floors }, { call }) {
    // Of one policy there may be several lists; Envoy goes through the policies in the order of their names.
    const lists = [...floors, { policy, ranges }].toSorted((a, b) =>
      a.policy < b.policy ? -1 : a.policy > b.policy ? 1 : 0,
    );
    const refusing = lists.find((list) => !list.ranges.some(({ live, cidr }) => live && inRange(call.address, cidr)));
    if (refusing === undefined) return { result: "Pass", reason: `${call.address} is on it` };
    const ended = refusing.ranges.find(({ live, cidr }) => !live && inRange(call.address, cidr));
    const reason = `${call.address} is not on it${ended === undefined ? "" : `: entry ${ended.cidr} has ended`}`;
    return { result: "Deny", status: 403, code: "GW-ALLOW-001", policy: refusing.policy, reason };
  },
};
