/**
 * Writes protobuf's wire format into one buffer that is used again and again: encoding many resources leaves no garbage but the results.
 * Not reentrant: `begin` … `finish`, then the next.
 */

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

const FIRST_SIZE = 64 * 1024;
/** A larger buffer than this is not kept: one huge resource must not cost memory for ever. */
const LARGEST_KEPT = 4 * 1024 * 1024;

export class WireWriter {
  #bytes = Buffer.allocUnsafeSlow(FIRST_SIZE);
  #at = 0;

  begin(): void {
    this.#at = 0;
    if (this.#bytes.length > LARGEST_KEPT) this.#bytes = Buffer.allocUnsafeSlow(FIRST_SIZE);
  }

  /** A copy of what was written since `begin`, with memory of its own. */
  finish(): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(0, this.#at));
  }

  tag(field: number, type: number): void {
    this.uint32(((field << 3) | type) >>> 0);
  }

  uint32(value: number): void {
    this.#reserve(5);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#at++] = rest;
  }

  /** Two's complement in 64 bits, which is also how negative int32 and enums travel. */
  varint64(value: bigint): void {
    this.#reserve(10);
    let rest = BigInt.asUintN(64, value);
    while (rest > 0x7fn) {
      this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#at++] = Number(rest);
  }

  int32(value: number): void {
    if (value >= 0) this.uint32(value);
    else this.varint64(BigInt(value));
  }

  fixed32(value: number): void {
    this.#reserve(4);
    this.#at = this.#bytes.writeInt32LE(value | 0, this.#at);
  }

  fixed64(value: bigint): void {
    this.#reserve(8);
    this.#at = this.#bytes.writeBigUInt64LE(BigInt.asUintN(64, value), this.#at);
  }

  float(value: number): void {
    this.#reserve(4);
    this.#at = this.#bytes.writeFloatLE(value, this.#at);
  }

  double(value: number): void {
    this.#reserve(8);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  text(value: string): void {
    const start = this.open();
    this.#reserve(value.length * 3); // no UTF-16 unit takes more
    this.#at += this.#bytes.write(value, this.#at, "utf8");
    this.close(start);
  }

  raw(value: Uint8Array): void {
    this.uint32(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** Begins something length-delimited; the answer is for {@link close}. */
  open(): number {
    this.#reserve(1);
    return this.#at++;
  }

  /** Puts the length in front of what was written since {@link open}; longer things move to make room for it. */
  close(start: number): void {
    const length = this.#at - start - 1;
    if (length > 0x7f) {
      const extra = Math.floor((32 - Math.clz32(length) + 6) / 7) - 1;
      this.#reserve(extra);
      this.#bytes.copyWithin(start + 1 + extra, start + 1, this.#at);
      this.#at += extra;
    }
    let at = start;
    let rest = length;
    while (rest > 0x7f) {
      this.#bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[at] = rest;
  }

  /** Takes back an {@link open} and the one-byte tag before it where nothing followed; says whether it did. */
  dropIfEmpty(start: number): boolean {
    if (this.#at > start + 1) return false;
    this.#at = start - 1;
    return true;
  }

  /** Bytes that are a whole message already. */
  append(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  #reserve(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + size));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}
