/** Scalars and enums of protobuf's JSON: what is allowed, what is the default, how it travels. */
import { type DescEnum, type DescField, ScalarType } from "@bufbuild/protobuf";
import type { JsonValue } from "./types.ts";
import { BYTES, FIXED32, FIXED64, VARINT, type WireWriter } from "./wire-writer.ts";

/** Says where in the JSON something is wrong, and what. */
export class FieldError extends Error {
  readonly #path: readonly (string | number)[];
  readonly #reason: string;

  constructor(reason: string, path: readonly (string | number)[] = []) {
    super(path.length === 0 ? reason : `${textOf(path)}: ${reason}`);
    this.#path = path;
    this.#reason = reason;
  }

  /** The same fault seen from one level further out. */
  static within(key: string | number, error: unknown): unknown {
    return error instanceof FieldError ? new FieldError(error.#reason, [key, ...error.#path]) : error;
  }
}

function textOf(path: readonly (string | number)[]): string {
  return path
    .map((key, index) => {
      if (typeof key === "number") return `[${String(key)}]`;
      return /^\w+$/.test(key) ? `${index === 0 ? "" : "."}${key}` : `[${JSON.stringify(key)}]`;
    })
    .join("");
}

/** A field as far as its scalar or enum goes. */
export interface ScalarField {
  readonly scalar?: ScalarType | undefined;
  readonly enum?: DescEnum | undefined;
}

/** Whether a field without presence is left out. */
export function isDefault(field: Pick<DescField, "scalar" | "enum">, value: JsonValue): boolean {
  if (field.enum !== undefined) return numberOfEnum(field.enum, value) === 0;
  switch (field.scalar) {
    case ScalarType.BOOL:
      return value === false;
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return value === "";
    default:
      return value === "" ? false : Object.is(Number(value), 0);
  }
}

/** Writes one value; with `number` also the tag before it. */
export function encodeScalar(
  writer: WireWriter,
  field: ScalarField,
  value: JsonValue,
  number: number | undefined,
): void {
  const tag = (type: number): void => {
    if (number !== undefined) writer.tag(number, type);
  };
  if (field.enum !== undefined) {
    const known = numberOfEnum(field.enum, value);
    tag(VARINT);
    writer.int32(known);
    return;
  }
  switch (field.scalar) {
    case ScalarType.STRING: {
      if (typeof value !== "string") throw wrong("a string", value);
      tag(BYTES);
      writer.text(value);
      return;
    }
    case ScalarType.BOOL: {
      if (typeof value !== "boolean") throw wrong("true or false", value);
      tag(VARINT);
      writer.uint32(value ? 1 : 0);
      return;
    }
    case ScalarType.BYTES: {
      const bytes = base64Of(value);
      tag(BYTES);
      writer.raw(bytes);
      return;
    }
    case ScalarType.UINT32:
    case ScalarType.FIXED32: {
      const whole = integerOf(value, 0n, 0xffff_ffffn);
      const isFixed = field.scalar === ScalarType.FIXED32;
      tag(isFixed ? FIXED32 : VARINT);
      if (isFixed) writer.fixed32(Number(whole));
      else writer.uint32(Number(whole));
      return;
    }
    case ScalarType.INT32:
    case ScalarType.SFIXED32:
    case ScalarType.SINT32: {
      const whole = Number(integerOf(value, -0x8000_0000n, 0x7fff_ffffn));
      const isFixed = field.scalar === ScalarType.SFIXED32;
      tag(isFixed ? FIXED32 : VARINT);
      if (isFixed) writer.fixed32(whole);
      else if (field.scalar === ScalarType.SINT32) writer.uint32(((whole << 1) ^ (whole >> 31)) >>> 0);
      else writer.int32(whole);
      return;
    }
    case ScalarType.UINT64:
    case ScalarType.FIXED64: {
      const whole = integerOf(value, 0n, 0xffff_ffff_ffff_ffffn);
      const isFixed = field.scalar === ScalarType.FIXED64;
      tag(isFixed ? FIXED64 : VARINT);
      if (isFixed) writer.fixed64(whole);
      else writer.varint64(whole);
      return;
    }
    case ScalarType.INT64:
    case ScalarType.SFIXED64:
    case ScalarType.SINT64: {
      const whole = integerOf(value, -0x8000_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn);
      const isFixed = field.scalar === ScalarType.SFIXED64;
      tag(isFixed ? FIXED64 : VARINT);
      if (isFixed) writer.fixed64(whole);
      else writer.varint64(field.scalar === ScalarType.SINT64 ? (whole << 1n) ^ (whole >> 63n) : whole);
      return;
    }
    case ScalarType.DOUBLE: {
      const real = realOf(value);
      tag(FIXED64);
      writer.double(real);
      return;
    }
    case ScalarType.FLOAT: {
      const real = realOf(value);
      if (Number.isFinite(real) && !Number.isFinite(Math.fround(real))) throw wrong("a 32-bit number", value);
      tag(FIXED32);
      writer.float(real);
      return;
    }
    case undefined:
      throw new Error("neither a scalar nor an enum");
  }
}

function wrong(expected: string, value: JsonValue): FieldError {
  const shown = JSON.stringify(value);
  // The value may come from a Secret: its kind is enough to mend it.
  return new FieldError(`must be ${expected}, not ${shown.length > 40 ? `${typeof value} …` : shown}`);
}

function numberOfEnum(desc: DescEnum, value: JsonValue): number {
  if (typeof value === "number" && Number.isInteger(value)) return value;
  const found = typeof value === "string" ? namesOf(desc).get(value) : undefined;
  if (found === undefined) throw wrong(`one of ${[...namesOf(desc).keys()].slice(0, 12).join(", ")}`, value);
  return found;
}

const enumNames = new WeakMap<DescEnum, ReadonlyMap<string, number>>();
function namesOf(desc: DescEnum): ReadonlyMap<string, number> {
  const known = enumNames.get(desc);
  if (known !== undefined) return known;
  const names = new Map(desc.values.map(({ name, number }) => [name, number]));
  enumNames.set(desc, names);
  return names;
}

function integerOf(value: JsonValue, least: bigint, most: bigint): bigint {
  const isText = typeof value === "string" && /^-?\d{1,20}$/.test(value);
  if (!isText && !(typeof value === "number" && Number.isInteger(value))) throw wrong("a whole number", value);
  const whole = BigInt(value);
  if (whole < least || whole > most) throw wrong(`between ${String(least)} and ${String(most)}`, value);
  return whole;
}

function realOf(value: JsonValue): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (value === "NaN" || value === "Infinity" || value === "-Infinity") return Number(value);
  if (typeof value === "string" && /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value)) return Number(value);
  throw wrong("a number", value);
}

function base64Of(value: JsonValue): Uint8Array {
  if (typeof value !== "string" || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value)) throw new FieldError("must be base64");
  return Buffer.from(value, "base64");
}
