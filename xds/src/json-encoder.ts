/**
 * Protobuf's JSON (https://protobuf.dev/programming-guides/json/) straight to bytes, by descriptors: several times faster than by way of
 * message objects, and without their garbage. The same bytes as protobuf-es makes, fields in the order of their numbers.
 */
import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue as ProtoJson,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import type { Descriptors } from "./descriptors.ts";
import { encodeScalar, FieldError, isDefault } from "./scalar.ts";
import type { JsonObject, JsonValue } from "./types.ts";
import { BYTES, VARINT, WireWriter } from "./wire-writer.ts";

export const TYPE_URL_PREFIX = "type.googleapis.com/";

/** What is known of a message's JSON: its fields by both of their names. */
interface Plan {
  readonly message: DescMessage;
  readonly fields: ReadonlyMap<string, DescField>;
  readonly special: Special | undefined;
}
type Special = (writer: WireWriter, json: JsonValue) => void;

const WRAPPERS: ReadonlySet<string> = new Set(
  ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"].map(
    (name) => `google.protobuf.${name}Value`,
  ),
);
/** 10,000 years, as google/protobuf/duration.proto says. */
const LONGEST_DURATION_S = 315_576_000_000;

export interface JsonEncoder {
  /**
   * The bytes of the Any; throws a FieldError that says where `json` is not what Envoy's API says.
   * @param brief see {@link BRIEF_FIELD}
   */
  any(json: JsonObject, brief?: boolean): Uint8Array;
}

/**
 * Where an encoding is brief, the values of this field have a short host in their type URLs: only what follows the last slash says the type
 * (google/protobuf/any.proto), and a scope has up to ten of them. Envoy reads and prints them alike (xds/test/brief.envoy.test.ts); without any host
 * it could not print them.
 */
const BRIEF_FIELD = "typed_per_filter_config";
const BRIEF_PREFIX = "t/";

export function createJsonEncoder(descriptors: Descriptors): JsonEncoder {
  const writer = new WireWriter();
  const plans = new Map<DescMessage, Plan>();
  let brief = false;
  /** Whether the next Any is the value of a {@link BRIEF_FIELD} that is written briefly. */
  let briefNext = false;

  const planOf = (message: DescMessage): Plan => {
    const known = plans.get(message);
    if (known !== undefined) return known;
    const fields = new Map<string, DescField>();
    for (const field of message.fields) fields.set(field.name, field).set(field.jsonName, field);
    const plan: Plan = { message, fields, special: specialOf(message) };
    plans.set(message, plan);
    return plan;
  };

  const writeMessage = (message: DescMessage, json: JsonValue): void => {
    const plan = planOf(message);
    if (plan.special !== undefined) plan.special(writer, json);
    else writeFields(plan, json, undefined);
  };

  const writeFields = ({ message, fields }: Plan, json: JsonValue, ignored: string | undefined): void => {
    if (!isObject(json)) throw new FieldError(`must be an object (${message.typeName})`);
    const present: [DescField, JsonValue, string][] = [];
    let sorted = true;
    for (const key in json) {
      const value = json[key];
      if (key === ignored || value === undefined) continue;
      const field = fields.get(key);
      if (field === undefined) throw new FieldError(`unknown field ${JSON.stringify(key)} in ${message.typeName}`);
      if (value === null && field.message?.typeName !== "google.protobuf.Value") continue;
      const last = present.at(-1);
      if (last !== undefined && last[0].number >= field.number) sorted = false;
      present.push([field, value, key]);
    }
    if (!sorted) present.sort(([one], [other]) => one.number - other.number);
    for (let index = 0; index < present.length; index += 1) {
      const [field, value, key] = present[index] as [DescField, JsonValue, string];
      if (field.oneof !== undefined) checkOneof(present, index);
      else if (present[index + 1]?.[0] === field) throw new FieldError(`${JSON.stringify(key)} is given twice`);
      try {
        writeField(field, value);
      } catch (error) {
        throw FieldError.within(key, error);
      }
    }
  };

  const writeField = (field: DescField, value: JsonValue): void => {
    switch (field.fieldKind) {
      case "message":
        writer.tag(field.number, BYTES);
        writeDelimited(field.message, value);
        return;
      case "list":
        writeList(field, value);
        return;
      case "map":
        writeMap(field, value);
        return;
      default:
        if (field.presence === FeatureSet_FieldPresence.IMPLICIT && isDefault(field, value)) return;
        encodeScalar(writer, field, value, field.number);
    }
  };

  const writeDelimited = (message: DescMessage, value: JsonValue): void => {
    const start = writer.open();
    writeMessage(message, value);
    writer.close(start);
  };

  const writeList = (field: DescField & { fieldKind: "list" }, value: JsonValue): void => {
    if (!Array.isArray(value)) throw new FieldError("must be a list");
    const items = value as readonly JsonValue[];
    if (items.length === 0) return;
    const isPacked = field.listKind !== "message" && field.packed;
    const start = isPacked ? (writer.tag(field.number, BYTES), writer.open()) : 0;
    items.forEach((item, index) => {
      try {
        if (item === null && field.message?.typeName !== "google.protobuf.Value")
          throw new FieldError("must not be null");
        if (field.listKind === "message") {
          writer.tag(field.number, BYTES);
          writeDelimited(field.message, item);
        } else encodeScalar(writer, field, item, isPacked ? undefined : field.number);
      } catch (error) {
        throw FieldError.within(index, error);
      }
    });
    if (isPacked) writer.close(start);
  };

  const writeMap = (field: DescField & { fieldKind: "map" }, value: JsonValue): void => {
    if (!isObject(value)) throw new FieldError("must be an object");
    for (const key in value) {
      const item = value[key];
      if (item === undefined) continue;
      try {
        if (item === null && field.message?.typeName !== "google.protobuf.Value")
          throw new FieldError("must not be null");
        writer.tag(field.number, BYTES);
        const start = writer.open();
        encodeScalar(writer, { scalar: field.mapKey, enum: undefined }, keyOf(field.mapKey, key), 1);
        if (field.mapKind === "message") {
          writer.tag(2, BYTES);
          briefNext = brief && field.name === BRIEF_FIELD;
          writeDelimited(field.message, item);
        } else encodeScalar(writer, field, item, 2);
        writer.close(start);
      } catch (error) {
        throw FieldError.within(key, error);
      }
    }
  };

  const writeAny: Special = (_, json) => {
    const isBrief = briefNext;
    briefNext = false;
    if (!isObject(json)) throw new FieldError("must be an object");
    const typeUrl = json["@type"];
    if (typeUrl === undefined && Object.keys(json).length === 0) return;
    if (typeof typeUrl !== "string" || !typeUrl.startsWith(TYPE_URL_PREFIX)) {
      throw new FieldError(`"@type" must begin with ${TYPE_URL_PREFIX}, got ${JSON.stringify(typeUrl)}`);
    }
    const message = descriptors.registry.getMessage(typeUrl.slice(TYPE_URL_PREFIX.length));
    if (message === undefined) throw new FieldError(`Envoy's API has no message ${JSON.stringify(typeUrl)}`);
    writer.tag(1, BYTES);
    writer.text(isBrief ? BRIEF_PREFIX + typeUrl.slice(TYPE_URL_PREFIX.length) : typeUrl);
    writer.tag(2, BYTES);
    const start = writer.open();
    const plan = planOf(message);
    if (plan.special === undefined) writeFields(plan, json, "@type");
    else plan.special(writer, json["value"] ?? null);
    if (!writer.dropIfEmpty(start)) writer.close(start);
  };

  function specialOf(message: DescMessage): Special | undefined {
    const name = message.typeName;
    if (!name.startsWith("google.protobuf.")) return undefined;
    if (name === "google.protobuf.Any") return writeAny;
    if (name === "google.protobuf.Duration") return writeDuration;
    if (name === "google.protobuf.Struct") return writeStruct;
    if (name === "google.protobuf.Value") return writeValue;
    if (name === "google.protobuf.Empty") return undefined;
    const wrapped = WRAPPERS.has(name) ? message.fields[0] : undefined;
    if (wrapped !== undefined) {
      return (_, json) => {
        if (json === null) throw new FieldError("must not be null");
        if (!isDefault(wrapped, json)) encodeScalar(writer, wrapped, json, 1);
      };
    }
    // Rare ones (timestamps, lists of values, field masks) by way of the library.
    return (_, json) => writer.append(toBinary(message, fromJson(message, json as ProtoJson)));
  }

  function writeDuration(_: WireWriter, json: JsonValue): void {
    const [, sign, seconds, fraction] =
      (typeof json === "string" && /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(json)) || [];
    if (seconds === undefined) throw new FieldError(`must be a duration such as "1.5s", got ${JSON.stringify(json)}`);
    const factor = sign === "-" ? -1 : 1;
    const whole = Number(seconds);
    const nanos = Number((fraction ?? "").padEnd(9, "0"));
    if (whole > LONGEST_DURATION_S) throw new FieldError(`is longer than a duration can be: ${JSON.stringify(json)}`);
    if (whole !== 0) {
      writer.tag(1, VARINT);
      writer.varint64(BigInt(factor * whole));
    }
    if (nanos !== 0) {
      writer.tag(2, VARINT);
      writer.int32(factor * nanos);
    }
  }

  function writeStruct(_: WireWriter, json: JsonValue): void {
    if (!isObject(json)) throw new FieldError("must be an object");
    for (const key in json) {
      const value = json[key];
      if (value === undefined) continue;
      writer.tag(1, BYTES);
      const entry = writer.open();
      writer.tag(1, BYTES);
      writer.text(key);
      writer.tag(2, BYTES);
      const start = writer.open();
      writeValue(writer, value);
      writer.close(start);
      writer.close(entry);
    }
  }

  function writeValue(_: WireWriter, json: JsonValue): void {
    if (json === null) {
      writer.tag(1, VARINT);
      writer.uint32(0);
    } else if (typeof json === "number") {
      if (!Number.isFinite(json)) throw new FieldError("must be a finite number");
      writer.tag(2, 1);
      writer.double(json);
    } else if (typeof json === "string") {
      writer.tag(3, BYTES);
      writer.text(json);
    } else if (typeof json === "boolean") {
      writer.tag(4, VARINT);
      writer.uint32(json ? 1 : 0);
    } else if (isObject(json)) {
      writer.tag(5, BYTES);
      const start = writer.open();
      writeStruct(writer, json);
      writer.close(start);
    } else {
      writer.tag(6, BYTES);
      const list = writer.open();
      for (const item of json) {
        writer.tag(1, BYTES);
        const start = writer.open();
        writeValue(writer, item);
        writer.close(start);
      }
      writer.close(list);
    }
  }

  return {
    any(json, isBrief = false) {
      brief = isBrief;
      briefNext = false;
      writer.begin();
      writeAny(writer, json);
      return writer.finish();
    },
  };
}

/** `present` is in the order of field numbers; members of one oneof may stand apart in it. */
function checkOneof(present: readonly (readonly [DescField, JsonValue, string])[], index: number): void {
  const [field, , key] = present[index] ?? [];
  for (const [other, , otherKey] of present.slice(index + 1)) {
    if (other.oneof === field?.oneof) throw new FieldError(`only one of ${String(key)} and ${otherKey} may be given`);
  }
}

/** Keys of maps are text in JSON, whatever they are in the message. */
function keyOf(type: ScalarType, key: string): JsonValue {
  if (type === ScalarType.BOOL && (key === "true" || key === "false")) return key === "true";
  return key;
}

function isObject(json: JsonValue): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
