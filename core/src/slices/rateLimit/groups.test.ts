/** How limits are dealt out to filters when there are more groups than filters. */
import { expect, it } from "@jest/globals";
import { hostSlots } from "../../translate/limit-slots.ts";
import { dealt } from "./groups.ts";

const slots = hostSlots("rl-pre-host");
const alone = (group: string) => ({ group });
const everywhere = (group: string) => ({ group, shared: true }) as const;
type Grouped = Parameters<typeof dealt>[0][number];

function dealtTo(limits: readonly Grouped[]): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries([...dealt(limits, slots)].map(([slot, some]) => [slot, some.map(({ group }) => group)]));
}

it("gives each group a filter of its own as long as there are filters, far to near", () => {
  expect(dealtTo([alone("4"), alone("2"), everywhere("3*"), alone("2")])).toEqual({
    "rl-pre-host": ["2", "2"],
    "rl-pre-host-2": ["3*"],
    "rl-pre-host-3": ["4"],
  });
});

it("puts the nearest groups together where there are more", () => {
  expect(dealtTo(["2", "2!", "3", "4"].map(alone))).toEqual({
    "rl-pre-host": ["2"],
    "rl-pre-host-2": ["2!"],
    "rl-pre-host-3": ["3", "4"],
  });
});

it("never mixes limits of one proxy with limits of all proxies", () => {
  expect(dealtTo([alone("2"), everywhere("2*"), alone("3"), everywhere("3*"), alone("4")])).toEqual({
    "rl-pre-host": ["2"],
    "rl-pre-host-2": ["3", "4"],
    "rl-pre-host-3": ["2*", "3*"],
  });
});
