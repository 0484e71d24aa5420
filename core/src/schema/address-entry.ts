/** Entries of allowlist and denylist. */
import * as z from "zod";
import { listMap } from "./list.ts";
import type { Immutable } from "./rule.ts";
import { cidr, dateTime, text } from "./text.ts";

export const MAX_ENTRIES = 1_024;

export function entries() {
  const entry = z.strictObject({
    cidr: cidr().describe("Address range, IPv4 or IPv6."),
    note: text().describe("Who or why.").exactOptional(),
    expiresAt: dateTime().describe("When the entry ends; absent: never.").exactOptional(),
  });
  return listMap(entry, "cidr", MAX_ENTRIES);
}

export type AddressEntry = Immutable<z.output<ReturnType<typeof entries>>>[number];
