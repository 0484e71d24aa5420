/**
 * Discovery requests and responses on the wire, delta and state of the world in one shape
 * (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-docs/xds_protocol). Responses are put together from bytes that are there already.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { descriptors } from "../registry.ts";
import type { Content } from "./content.ts";

export type Protocol = "delta" | "sotw";

/** What this server reads of a node. */
export interface Node {
  readonly id: string;
  /** The gateway, "namespace/name". */
  readonly cluster: string;
  readonly userAgent: string;
  /** "" where it says none. */
  readonly version: string;
}

export interface Request {
  readonly typeUrl: string;
  readonly node: Node | undefined;
  readonly nonce: string;
  /** Present in a refusal, and only there. */
  readonly error: string | undefined;
  readonly names:
    | { readonly protocol: "delta"; readonly subscribe: readonly string[]; readonly unsubscribe: readonly string[] }
    | { readonly protocol: "sotw"; readonly all: readonly string[] };
  /** The client has configuration from an earlier stream. */
  readonly resumes: boolean;
  /** What it holds from there, by name. Delta only. */
  readonly initialVersions: Readonly<Record<string, string>>;
}

const REQUEST = {
  delta: "envoy.service.discovery.v3.DeltaDiscoveryRequest",
  sotw: "envoy.service.discovery.v3.DiscoveryRequest",
} as const;

/** The fields that are read, as protobuf-es names them. */
interface RawRequest {
  readonly typeUrl: string;
  readonly responseNonce: string;
  readonly versionInfo?: string;
  readonly node?: RawNode;
  readonly errorDetail?: { readonly message: string };
  readonly resourceNames?: readonly string[];
  readonly resourceNamesSubscribe?: readonly string[];
  readonly resourceNamesUnsubscribe?: readonly string[];
  readonly initialResourceVersions?: Readonly<Record<string, string>>;
}
interface RawNode {
  readonly id: string;
  readonly cluster: string;
  readonly userAgentName: string;
  readonly userAgentVersionType: { readonly case?: string; readonly value?: unknown };
}

/** Throws where `bytes` are no such message. */
export function decodeRequest(protocol: Protocol, bytes: Uint8Array): Request {
  const raw = fromBinary(descriptors().message(REQUEST[protocol]), bytes) as unknown as RawRequest;
  const initialVersions = raw.initialResourceVersions ?? {};
  return {
    typeUrl: raw.typeUrl,
    node: raw.node === undefined ? undefined : nodeOf(raw.node),
    nonce: raw.responseNonce,
    // Envoy ends some of its texts in a line break.
    error: raw.errorDetail?.message.trimEnd(),
    names:
      protocol === "delta"
        ? { protocol, subscribe: raw.resourceNamesSubscribe ?? [], unsubscribe: raw.resourceNamesUnsubscribe ?? [] }
        : { protocol, all: raw.resourceNames ?? [] },
    resumes: Object.keys(initialVersions).length > 0 || (raw.versionInfo ?? "") !== "",
    initialVersions,
  };
}

function nodeOf(raw: RawNode): Node {
  const { case: kind, value } = raw.userAgentVersionType;
  const build = (
    value as { readonly version?: { majorNumber: number; minorNumber: number; patch: number } } | undefined
  )?.version;
  const version =
    kind === "userAgentVersion"
      ? String(value)
      : build === undefined
        ? ""
        : `${String(build.majorNumber)}.${String(build.minorNumber)}.${String(build.patch)}`;
  return { id: raw.id, cluster: raw.cluster, userAgent: raw.userAgentName, version };
}

// Field numbers of envoy/service/discovery/v3/discovery.proto.
const DELTA = { systemVersion: 1, typeUrl: 4, nonce: 5, removed: 6 } as const;
const SOTW = { version: 1, resources: 2, typeUrl: 4, nonce: 5 } as const;

export function encodeDelta(
  typeUrl: string,
  nonce: string,
  contents: readonly Content[],
  removed: readonly string[],
): Buffer {
  const head = new BinaryWriter()
    .tag(DELTA.systemVersion, WireType.LengthDelimited)
    .string(nonce)
    .tag(DELTA.typeUrl, WireType.LengthDelimited)
    .string(typeUrl)
    .tag(DELTA.nonce, WireType.LengthDelimited)
    .string(nonce);
  for (const name of removed) head.tag(DELTA.removed, WireType.LengthDelimited).string(name);
  return Buffer.concat([head.finish(), ...contents.map(({ delta }) => delta)]);
}

export function encodeSotw(typeUrl: string, nonce: string, contents: readonly Content[]): Buffer {
  const head = new BinaryWriter()
    .tag(SOTW.version, WireType.LengthDelimited)
    .string(nonce)
    .tag(SOTW.typeUrl, WireType.LengthDelimited)
    .string(typeUrl)
    .tag(SOTW.nonce, WireType.LengthDelimited)
    .string(nonce);
  for (const { any } of contents) head.tag(SOTW.resources, WireType.LengthDelimited).bytes(any);
  return Buffer.concat([head.finish()]);
}
