/** One version of one resource as the bytes that go out: encoded once, spliced into every response. */
import { hash } from "node:crypto";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { encodeAny } from "../registry.ts";
import type { JsonObject } from "../types.ts";

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

/** Throws an Error that names the field where `json` is not Envoy's. */
export function encodeContent(name: string, json: JsonObject): Content {
  const any = encodeAny(json);
  return contentOf(name, hash("sha256", any, "base64url").slice(0, VERSION_LENGTH), any);
}

function contentOf(name: string, version: string, any: Uint8Array): Content {
  const delta = new BinaryWriter()
    .tag(RESPONSE_RESOURCES, WireType.LengthDelimited)
    .fork()
    .tag(RESOURCE.version, WireType.LengthDelimited)
    .string(version)
    .tag(RESOURCE.name, WireType.LengthDelimited)
    .string(name)
    .tag(RESOURCE.resource, WireType.LengthDelimited)
    .bytes(any)
    .join()
    .finish();
  // `resource` is written last, so the Any is the tail of the other form: one buffer holds both.
  return { version, delta, any: delta.subarray(delta.length - any.length) };
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
