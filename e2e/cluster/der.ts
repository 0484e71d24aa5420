/** The few DER encodings (ITU-T X.690) that a certificate needs. Each function returns the bytes of one element. */

/** The bytes of one DER element. */
export type Der = Buffer;

/** An element with the given tag byte around `contents`. */
export function tagged(tag: number, contents: Buffer): Der {
  return Buffer.concat([Buffer.from([tag]), lengthBytes(contents.length), contents]);
}

export function sequence(...elements: readonly Buffer[]): Der {
  return tagged(0x30, Buffer.concat(elements));
}

export function set(...elements: readonly Buffer[]): Der {
  return tagged(0x31, Buffer.concat(elements));
}

export function boolean(value: boolean): Der {
  return tagged(0x01, Buffer.from([value ? 0xff : 0]));
}

/** A positive integer from its big-endian bytes: leading zeros go, a set top bit gets one, as X.690 8.3 asks. */
export function integer(magnitude: Buffer): Der {
  const first = magnitude.findIndex((byte) => byte !== 0);
  const bytes = first === -1 ? Buffer.from([0]) : magnitude.subarray(first);
  return tagged(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

export function octetString(bytes: Buffer): Der {
  return tagged(0x04, bytes);
}

/** A bit string of whole bytes. */
export function bitString(bytes: Buffer): Der {
  return tagged(0x03, Buffer.concat([Buffer.from([0]), bytes]));
}

export function utf8String(text: string): Der {
  return tagged(0x0c, Buffer.from(text, "utf8"));
}

/** UTCTime before 2050 and GeneralizedTime from then on (RFC 5280 section 4.1.2.5), in whole seconds. */
export function generalizedTime(time: Date): Der {
  const digits = time.toISOString().replace(/[-:T]|\.\d+/g, "");
  return time.getUTCFullYear() < 2050
    ? tagged(0x17, Buffer.from(digits.slice(2), "ascii"))
    : tagged(0x18, Buffer.from(digits, "ascii"));
}

export function objectIdentifier(dotted: string): Der {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return tagged(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(value: number): number[] {
  const bytes = [value & 0x7f];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes.unshift((rest & 0x7f) | 0x80);
  return bytes;
}

function lengthBytes(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest >>>= 8) bytes.unshift(rest & 0xff);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
}
