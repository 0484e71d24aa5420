/** Envoy's canonical JSON (`@type` included) to and from `google.protobuf.Any`, with the API of Envoy 1.40. */
import { fromBinary, toJson } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { type Descriptors, readDescriptors } from "./descriptors.ts";
import { createJsonEncoder, type JsonEncoder, TYPE_URL_PREFIX } from "./json-encoder.ts";
import type { JsonObject, JsonValue } from "./types.ts";

const ANY = { typeUrl: 1, value: 2 } as const;

let read: Descriptors | undefined;
let encoder: JsonEncoder | undefined;

/** The one descriptor set of this process. */
export function descriptors(): Descriptors {
  return (read ??= readDescriptors());
}

/**
 * The bytes of the Any that `json` describes. Throws an Error that names the field where `json` is not what Envoy's API says.
 * @param brief short hosts in the type URLs of per-route configuration, for resources of which there are thousands
 */
export function encodeAny(json: JsonObject, brief = false): Uint8Array {
  encoder ??= createJsonEncoder(descriptors());
  return encoder.any(json, brief);
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
  const schema = message(typeUrl.slice(TYPE_URL_PREFIX.length));
  const json = toJson(schema, fromBinary(schema, value), { registry, useProtoFieldName: true }) as JsonValue;
  return { "@type": typeUrl, ...(isObject(json) ? json : { value: json }) };
}

function isObject(json: JsonValue): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
