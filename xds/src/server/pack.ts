/**
 * Keeps the bytes of many similar resources small: each is written as pieces of a dictionary (an earlier one) and what
 * is not in it. Thousands of scopes differ in a few names only and shrink to a tenth; unpacking costs microseconds. zlib can do this too, at ten
 * times the cost for pieces this small.
 */

/** Bytes that packed ones refer to. */
interface Dictionary {
  readonly bytes: Uint8Array;
  /** By hash of four bytes: where they stand, plus one. */
  readonly places: Uint16Array;
}

/** Packed bytes: text of one byte a character, which costs a third of a small buffer's memory. */
export interface Packed {
  readonly text: string;
  readonly length: number;
  readonly dictionary: Dictionary | undefined;
}

export interface Packer {
  pack(bytes: Uint8Array): Packed;
}

/** Shorter pieces are cheaper written out. */
const SHORTEST = 8;
const HASH_BITS = 13;
/** Places are 16 bits wide. */
const LARGEST_DICTIONARY = 0xfffe;
/** Larger resources are few, and not like each other. */
const LARGEST_PACKED = 64 * 1024;
/** What shrinks to more than half is like nothing that is known: it becomes a dictionary itself, as long as there are few. */
const MOST_DICTIONARIES = 4;

/** One per server, for resources of one type and never for secrets: dictionaries are made of what it packs, and stay. */
export function createPacker(): Packer {
  const known: Dictionary[] = [];
  return {
    pack(bytes) {
      if (bytes.length > LARGEST_PACKED) return plain(bytes);
      for (const [at, dictionary] of known.entries()) {
        const text = packed(bytes, dictionary);
        if (text.length > bytes.length / 2) continue;
        // The next one is most likely like this one.
        if (at > 0) known.unshift(...known.splice(at, 1));
        return { text, length: bytes.length, dictionary };
      }
      if (known.length < MOST_DICTIONARIES && bytes.length <= LARGEST_DICTIONARY) {
        known.unshift(dictionaryOf(bytes));
      }
      return plain(bytes);
    },
  };
}

/** Writes the bytes into `to`, from `start` on. */
export function unpack({ text, dictionary }: Packed, to: Buffer, start: number): void {
  if (dictionary === undefined) {
    to.write(text, start, "latin1");
    return;
  }
  const { bytes } = dictionary;
  let at = 0;
  let end = start;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = text.charCodeAt(at);
      at += 1;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < text.length) {
    const head = number();
    const length = head >>> 1;
    if ((head & 1) === 1) {
      const place = number();
      for (let offset = 0; offset < length; offset += 1) to[end + offset] = bytes[place + offset] ?? 0;
    } else {
      for (let offset = 0; offset < length; offset += 1) to[end + offset] = text.charCodeAt(at + offset);
      at += length;
    }
    end += length;
  }
}

function plain(bytes: Uint8Array): Packed {
  return { text: latin1(bytes, bytes.length), length: bytes.length, dictionary: undefined };
}

function dictionaryOf(bytes: Uint8Array): Dictionary {
  const places = new Uint16Array(1 << HASH_BITS);
  // From the end, so that the first of equal ones stays: it has the most behind it.
  for (let at = bytes.length - 4; at >= 0; at -= 1) places[hashAt(bytes, at)] = at + 1;
  return { bytes: bytes.slice(), places };
}

let scratch = Buffer.allocUnsafeSlow(4096);

/** Head (length and whether it is a copy), then the place in the dictionary or the bytes themselves. */
function packed(bytes: Uint8Array, dictionary: Dictionary): string {
  const { bytes: known, places } = dictionary;
  const { length } = bytes;
  if (scratch.length < 2 * length + 16) scratch = Buffer.allocUnsafeSlow(2 * length + 16);
  const out = scratch;
  let end = 0;
  const number = (value: number): void => {
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) out[end++] = (rest & 0x7f) | 0x80;
    out[end++] = rest;
  };
  let written = 0;
  const literal = (until: number): void => {
    if (until === written) return;
    number((until - written) << 1);
    for (let at = written; at < until; at += 1) out[end++] = bytes[at] ?? 0;
  };
  for (let at = 0; at + SHORTEST <= length;) {
    const place = (places[hashAt(bytes, at)] ?? 0) - 1;
    let same = 0;
    if (place >= 0) {
      const most = Math.min(length - at, known.length - place);
      while (same < most && bytes[at + same] === known[place + same]) same += 1;
    }
    if (same < SHORTEST) {
      at += 1;
      continue;
    }
    literal(at);
    number((same << 1) | 1);
    number(place);
    at += same;
    written = at;
  }
  literal(length);
  return latin1(out, end);
}

function hashAt(bytes: Uint8Array, at: number): number {
  const word =
    (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
  return Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS);
}

function latin1(bytes: Uint8Array, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, length).toString("latin1");
}
