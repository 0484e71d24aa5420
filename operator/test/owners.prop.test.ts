/** The owners of resources after any row of updates are those that a comparison of whole lists gives. */
import { expect, test } from "@jest/globals";
import fc from "fast-check";
import type { Owner, ResourceChange } from "@gatewarden/core/world.ts";
import { keyText } from "../src/kube/kinds.ts";
import { createOwners } from "../src/status/owners.ts";

const GATEWAY = "edge/edge";
/** More than are compared by name. */
const MOST = 100;

const owner = (at: number): Owner => ({
  key: { kind: "ApiPolicy", namespace: "shop", name: `p${at}` },
  uid: String(at),
  generation: 0,
});
const same = Array.from({ length: MOST }, (_, at) => owner(at));

/** What stays: all but some, some of them as other objects of the same name. */
const lists = fc.record({
  without: fc.array(fc.nat(MOST - 1), { maxLength: 4 }),
  from: fc.constantFrom(0, 0, 0, 60, MOST),
  renewed: fc.array(fc.nat(MOST - 1), { maxLength: 3 }),
  acknowledged: fc.boolean(),
});

test("owners and former owners are those of whole lists", () => {
  fc.assert(
    fc.property(fc.array(lists, { minLength: 1, maxLength: 8 }), (steps) => {
      const owners = createOwners();
      const resource = { type: "extension", name: "jwt" } as const;
      let now = new Set<string>();
      let former = new Set<string>();
      for (const { without, from, renewed, acknowledged } of steps) {
        const list = same
          .map((one, at) => (renewed.includes(at) ? owner(at) : one))
          .filter((_, at) => at >= from && !without.includes(at));
        const change: ResourceChange = { gateway: GATEWAY, ...resource, json: {}, owners: list };
        owners.update([list.length === 0 ? { ...change, json: undefined } : change]);
        const next = new Set(list.map(({ key }) => keyText(key)));
        former = new Set([...now, ...former].filter((text) => !next.has(text)));
        now = next;
        if (acknowledged) {
          owners.gone(GATEWAY, resource);
          former = new Set();
        }
        expect([...owners.owners(GATEWAY, resource)].sort()).toEqual([...now, ...former].sort());
        expect(owners.leaving(GATEWAY)).toHaveLength(former.size > 0 ? 1 : 0);
        for (const text of same.map(({ key }) => keyText(key))) {
          expect(owners.resources(text, GATEWAY)).toHaveLength(now.has(text) ? 1 : 0);
          expect(owners.left(text, GATEWAY)).toHaveLength(former.has(text) ? 1 : 0);
        }
      }
    }),
  );
});
