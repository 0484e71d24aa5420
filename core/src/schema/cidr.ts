/** Address ranges as Kubernetes' CEL function `isCIDR` takes them: no leading zeros, no zones, no IPv4 inside IPv6. */

export interface Cidr {
  readonly family: 4 | 6;
  readonly bytes: readonly number[]; // 4 or 16, as written (host bits kept)
  readonly prefix: number;
}

export function parseCidr(text: string): Cidr | undefined {
  const [address, digits, ...rest] = text.split("/");
  if (address === undefined || digits === undefined || rest.length > 0 || !/^(0|[1-9][0-9]{0,2})$/.test(digits)) {
    return undefined;
  }
  const prefix = Number(digits);
  const bytes = address.includes(":") ? bytesOfIPv6(address) : bytesOfIPv4(address);
  if (bytes === undefined || prefix > bytes.length * 8) return undefined;
  return { family: bytes.length === 4 ? 4 : 6, bytes, prefix };
}

function bytesOfIPv4(text: string): readonly number[] | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part))) return undefined;
  const bytes = parts.map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : undefined;
}

function bytesOfIPv6(text: string): readonly number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head = [], tail = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const groups = [...head, ...tail];
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  const missing = 8 - groups.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...new Array<string>(missing).fill("0"), ...tail].map((group) => Number.parseInt(group, 16));
  // ::ffff:a.b.c.d written in hexadecimal is still an IPv4 address inside IPv6.
  if (all.slice(0, 5).every((group) => group === 0) && all[5] === 0xffff) return undefined;
  return all.flatMap((group) => [group >> 8, group & 0xff]);
}
