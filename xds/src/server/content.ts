/** One version of one resource as the bytes that go out: encoded once, spliced into every response. */
import { hash } from "node:crypto";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { encodeAny } from "../registry.ts";
import type { JsonObject } from "../types.ts";
import { type Packed, type Packer, unpack } from "./pack.ts";

export interface Content {
  /** Hash of the bytes: the same content has the same version after a restart. */
  readonly version: string;
  /** The Any. */
  readonly any: Uint8Array;
  /** The same as field `resources` of a DeltaDiscoveryResponse: tag, length, Resource{version, resource, name}. */
  readonly delta: Uint8Array;
}

// Field numbers of envoy/service/discovery/v3/discovery.proto.
const RESPONSE_RESOURCES = 2;
const RESOURCE = { version: 1, resource: 2, name: 3 } as const;
const VERSION_LENGTH = 16;

/**
 * Throws an Error that names the field where `json` is not Envoy's.
 * @param packer for resources of which there are thousands: they are written briefly, and kept packed
 */
export function encodeContent(name: string, json: JsonObject, packer?: Packer): Content {
  const any = encodeAny(json, packer !== undefined);
  return contentOf(name, versionOf(any), any, packer);
}

/** Field numbers of what {@link Content.delta} holds. */
export const DELTA_FIELDS = { resources: RESPONSE_RESOURCES, ...RESOURCE } as const;

/** The content of an Any that was encoded before. */
export function restoredContent(name: string, any: Uint8Array, packer?: Packer): Content {
  return contentOf(name, versionOf(any), any, packer);
}

function versionOf(any: Uint8Array): string {
  return hash("sha256", any, "base64url").slice(0, VERSION_LENGTH);
}

function contentOf(name: string, version: string, any: Uint8Array, packer?: Packer): Content {
  if (packer !== undefined) return new PackedContent(name, version, packer.pack(any));
  const delta = deltaOf(name, version, any.length, (to, start) => to.set(any, start));
  // `resource` is written last, so the Any is the tail of the other form: one buffer holds both.
  return { version, delta, any: delta.subarray(delta.length - any.length) };
}

/** Unpacked whenever it is sent. */
class PackedContent implements Content {
  readonly version: string;
  readonly #name: string;
  readonly #packed: Packed;

  constructor(name: string, version: string, packed: Packed) {
    this.version = version;
    this.#name = name;
    this.#packed = packed;
  }

  get any(): Uint8Array {
    const bytes = Buffer.allocUnsafe(this.#packed.length);
    unpack(this.#packed, bytes, 0);
    return bytes;
  }

  get delta(): Uint8Array {
    return deltaOf(this.#name, this.version, this.#packed.length, (to, start) => unpack(this.#packed, to, start));
  }
}

function deltaOf(
  name: string,
  version: string,
  anyLength: number,
  writeAny: (to: Buffer, start: number) => void,
): Uint8Array {
  const versionLength = Buffer.byteLength(version);
  const nameLength = Buffer.byteLength(name);
  const length = delimited(versionLength) + delimited(nameLength) + delimited(anyLength);
  // Memory of its own: a pool would be kept alive by its last piece.
  const bytes = Buffer.allocUnsafeSlow(delimited(length));
  let at = head(bytes, 0, RESPONSE_RESOURCES, length);
  at = head(bytes, at, RESOURCE.version, versionLength);
  at += bytes.write(version, at);
  at = head(bytes, at, RESOURCE.name, nameLength);
  at += bytes.write(name, at);
  writeAny(bytes, head(bytes, at, RESOURCE.resource, anyLength));
  return bytes;
}

/** Bytes of a length-delimited field whose number is below 16. */
function delimited(length: number): number {
  return 1 + Math.max(1, Math.ceil((32 - Math.clz32(length)) / 7)) + length;
}

/** Writes tag and length; answers where the content begins. */
function head(bytes: Buffer, start: number, field: number, length: number): number {
  let at = start;
  bytes[at++] = (field << 3) | WireType.LengthDelimited;
  let rest = length;
  for (; rest > 0x7f; rest >>>= 7) bytes[at++] = (rest & 0x7f) | 0x80;
  bytes[at++] = rest;
  return at;
}

// Field numbers of google/protobuf/any.proto, envoy/config/route/v3/{scoped_route,route}.proto and envoy/config/core/v3/base.proto.
const ANY_VALUE = 2;
const SCOPE_ROUTE_CONFIGURATION = 5;
const ROUTE_CONFIGURATION_METADATA = 17;
const METADATA_FILTER_METADATA = 1;
const MAP_KEY = 1;

/**
 * The same scope in other bytes, under the same version: an unused piece of metadata named `token` is added. An Envoy notes the hash of
 * each scope of a response before it comes to the one that it refuses the response for, yet applies none of them. The same bytes sent
 * again are "unchanged" to it: acknowledged, and never in force.
 */
export function disguiseScope(name: string, content: Content, token: string): Content {
  const addition = new BinaryWriter()
    .tag(SCOPE_ROUTE_CONFIGURATION, WireType.LengthDelimited)
    .fork()
    .tag(ROUTE_CONFIGURATION_METADATA, WireType.LengthDelimited)
    .fork()
    .tag(METADATA_FILTER_METADATA, WireType.LengthDelimited)
    .fork()
    .tag(MAP_KEY, WireType.LengthDelimited)
    .string(token)
    .join()
    .join()
    .join()
    .finish();
  // A message that is there twice is merged, so an addition needs no decoding.
  const any = new BinaryWriter();
  const reader = new BinaryReader(content.any);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    const bytes = reader.bytes();
    any.tag(field, type).bytes(field === ANY_VALUE ? Buffer.concat([bytes, addition]) : bytes);
  }
  return contentOf(name, content.version, any.finish());
}

/** The EDS name that a cluster will ask for, where it asks for one. */
export function endpointNameOf(name: string, json: JsonObject): string | undefined {
  if (json["type"] !== "EDS") return undefined;
  const config = json["eds_cluster_config"] ?? json["edsClusterConfig"];
  const own = isObject(config) ? (config["service_name"] ?? config["serviceName"]) : undefined;
  return typeof own === "string" && own !== "" ? own : name;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
