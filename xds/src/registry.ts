/** Envoy's canonical JSON (`@type` included) to and from `google.protobuf.Any`, with the API of Envoy 1.40. */
import { fromBinary, fromJson, type JsonValue as ProtoJson, toBinary, toJson } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { type Descriptors, readDescriptors } from "./descriptors.ts";
import type { JsonObject, JsonValue } from "./types.ts";

const PREFIX = "type.googleapis.com/";
const ANY = { typeUrl: 1, value: 2 } as const;

let read: Descriptors | undefined;

/** The one descriptor set of this process. */
export function descriptors(): Descriptors {
  return (read ??= readDescriptors());
}

/** The bytes of the Any that `json` describes. Throws an Error that names the field where `json` is not what Envoy's API says. */
export function encodeAny(json: JsonObject): Uint8Array {
  const { "@type": typeUrl, ...fields } = json;
  if (typeof typeUrl !== "string" || !typeUrl.startsWith(PREFIX)) {
    throw new Error(`"@type" must start with ${PREFIX}, got ${JSON.stringify(typeUrl)}`);
  }
  const { registry, message } = descriptors();
  const schema = message(typeUrl.slice(PREFIX.length));
  // The library's JsonValue is the same type without `readonly`; fromJson does not write to it.
  const value = toBinary(schema, fromJson(schema, fields as ProtoJson, { registry }));
  return new BinaryWriter()
    .tag(ANY.typeUrl, WireType.LengthDelimited)
    .string(typeUrl)
    .tag(ANY.value, WireType.LengthDelimited)
    .bytes(value)
    .finish();
}

/** The JSON of an Any, with Envoy's own field names. */
export function decodeAny(bytes: Uint8Array): JsonObject {
  let typeUrl = "";
  let value: Uint8Array = new Uint8Array();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === ANY.typeUrl) typeUrl = reader.string();
    else if (field === ANY.value) value = reader.bytes();
    else reader.skip(type, field);
  }
  const { registry, message } = descriptors();
  const schema = message(typeUrl.slice(PREFIX.length));
  const json = toJson(schema, fromBinary(schema, value), { registry, useProtoFieldName: true }) as JsonValue;
  return { "@type": typeUrl, ...(isObject(json) ? json : { value: json }) };
}

function isObject(json: JsonValue): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
