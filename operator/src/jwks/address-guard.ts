/**
 * Which addresses a URL that a user wrote may lead to: public ones, and what the operator's flags add. The check is on the address that is
 * dialled, after name resolution, so neither a redirect nor a name that changes its address gets around it (rules R34, A9).
 */
import { BlockList, isIP } from "node:net";

export interface AddressGuard {
  /** undefined = may be dialled; else why not. */
  refusal(address: string): string | undefined;
}

type Reach = "local" | "private";

/** https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry: what is not globally reachable. */
const NOT_PUBLIC: readonly (readonly [string, Reach])[] = [
  ["0.0.0.0/8", "local"],
  ["10.0.0.0/8", "private"],
  ["100.64.0.0/10", "private"],
  ["127.0.0.0/8", "local"],
  ["169.254.0.0/16", "local"],
  ["172.16.0.0/12", "private"],
  ["192.0.0.0/24", "local"],
  ["192.0.2.0/24", "private"],
  ["192.31.196.0/24", "private"],
  ["192.52.193.0/24", "private"],
  ["192.88.99.0/24", "private"],
  ["192.168.0.0/16", "private"],
  ["192.175.48.0/24", "private"],
  ["198.18.0.0/15", "private"],
  ["198.51.100.0/24", "private"],
  ["203.0.113.0/24", "private"],
  ["224.0.0.0/4", "local"],
  ["240.0.0.0/4", "local"],
  ["::/96", "local"], // unspecified, loopback, and the deprecated IPv4-compatible form
  ["64:ff9b:1::/48", "private"],
  ["100::/64", "local"],
  ["2001::/23", "private"],
  ["2001:db8::/32", "private"],
  ["3fff::/20", "private"],
  ["5f00::/16", "private"],
  ["fc00::/7", "private"],
  ["fe80::/10", "local"],
  ["fec0::/10", "private"],
  ["ff00::/8", "local"],
];

/** IPv6 forms that carry an IPv4 address: the number of hexadecimal groups before it. */
const EMBEDDING: readonly (readonly [string, number])[] = [
  ["::ffff:0:0/96", 6],
  ["64:ff9b::/96", 6],
  ["2002::/16", 1],
];

/**
 * @param allowed CIDRs that are allowed whatever they are
 * @param inCluster also private addresses: for a backendRef, whose address the core resolved from a Service that may be used
 */
export function createAddressGuard(allowed: readonly string[], inCluster = false): AddressGuard {
  const allowList = blockList(allowed);
  const refused = blockList(NOT_PUBLIC.flatMap(([cidr, reach]) => (inCluster && reach === "private" ? [] : [cidr])));
  const refusal = (address: string): string | undefined => {
    const family = familyOf(address);
    if (family === undefined) return `${address} is not an address`;
    if (allowList.check(address, family)) return undefined;
    const embedded = family === "ipv6" ? embeddedIpv4(address) : undefined;
    if (embedded !== undefined) return refusal(embedded);
    return refused.check(address, family) ? `${address} is not a public address (--jwks-allow-cidr)` : undefined;
  };
  return { refusal };
}

function blockList(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) addCidr(list, cidr);
  return list;
}

function addCidr(list: BlockList, cidr: string): void {
  const [address = "", prefix = ""] = cidr.split("/");
  list.addSubnet(address, Number(prefix), familyOf(address) ?? "ipv4");
}

function familyOf(address: string): "ipv4" | "ipv6" | undefined {
  const family = isIP(address);
  return family === 0 || address.includes("%") ? undefined : family === 4 ? "ipv4" : "ipv6";
}

const embeddingLists = EMBEDDING.map(([cidr, groups]) => ({ list: blockList([cidr]), groups }));

function embeddedIpv4(address: string): string | undefined {
  const found = embeddingLists.find(({ list }) => list.check(address, "ipv6"));
  if (found === undefined) return undefined;
  const groups = expand(address);
  const high = groups[found.groups] ?? 0;
  const low = groups[found.groups + 1] ?? 0;
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

/** The eight groups of an IPv6 address; the URL parser knows every way to write one. */
function expand(address: string): readonly number[] {
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = "", tail] = canonical.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const gap = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...Array<string>(gap).fill("0"), ...right].map((group) => Number.parseInt(group, 16));
}
