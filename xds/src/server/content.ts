/** One version of one resource as the bytes that go out: encoded once, spliced into every response. */
import { hash } from "node:crypto";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
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
  const version = hash("sha256", any, "base64url").slice(0, VERSION_LENGTH);
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
