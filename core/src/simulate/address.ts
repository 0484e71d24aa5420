/** Addresses and ranges, and whose address a request comes from (section clientIP). */
import type { Model as ClientIP } from "../slices/clientIP/slice.ts";
import type { CallHeaders } from "./contract.ts";
import { parseCidr } from "../schema/cidr.ts";

export function inRange(address: string, cidr: string): boolean {
  const range = parseCidr(cidr);
  const one = parseCidr(`${address}/${address.includes(":") ? 128 : 32}`);
  if (range === undefined || one === undefined || range.family !== one.family) return false;
  return range.bytes.every((byte, at) => {
    const bits = Math.min(8, Math.max(0, range.prefix - at * 8));
    const mask = (0xff << (8 - bits)) & 0xff;
    return (byte & mask) === ((one.bytes[at] ?? 0) & mask);
  });
}

export function isAddress(text: string): boolean {
  return parseCidr(`${text}/${text.includes(":") ? 128 : 32}`) !== undefined;
}

export interface ClientAddress {
  readonly address: string;
  /** One sentence: why this one. */
  readonly reason: string;
}

export function clientAddress(peer: string, headers: CallHeaders, model: ClientIP | undefined): ClientAddress {
  const { trustedHops = 0, trustedProxies } = model ?? {};
  const chain = (headers.joined("x-forwarded-for") ?? "").split(",").map((one) => one.trim());
  const own = { address: peer, reason: "the TCP peer" };
  if (trustedProxies !== undefined) {
    const trusted = (address: string): boolean => trustedProxies.some((cidr) => inRange(address, cidr));
    if (!trusted(peer)) return { ...own, reason: "the TCP peer, which is none of clientIP.trustedProxies" };
    let found: string | undefined;
    for (const address of chain.toReversed()) {
      if (!isAddress(address)) break;
      found = address;
      if (!trusted(address)) break;
    }
    return found === undefined
      ? own
      : { address: found, reason: "x-forwarded-for from the right, past clientIP.trustedProxies" };
  }
  const hop = trustedHops === 0 ? undefined : chain.at(-trustedHops);
  if (hop === undefined || !isAddress(hop)) return own;
  return {
    address: hop,
    reason: `address ${String(trustedHops)} of x-forwarded-for from the right (clientIP.trustedHops)`,
  };
}
