import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue as ProtoJson,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { FieldDescriptorProto_Label } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { decodeAny, descriptors, encodeAny } from "../src/registry.ts";
import type { JsonObject, JsonValue } from "../src/types.ts";

const PREFIX = "type.googleapis.com/";
const ANY = descriptors().message("google.protobuf.Any");

/** The library's way, through message objects. */
function byLibrary(json: JsonObject): Uint8Array {
  return toBinary(ANY, fromJson(ANY, json as ProtoJson, { registry: descriptors().registry }));
}

const WELL_KNOWN: Readonly<Record<string, fc.Arbitrary<JsonValue>>> = {
  "google.protobuf.Duration": fc
    .tuple(fc.boolean(), fc.integer({ min: 0, max: 100_000 }), fc.integer({ min: 0, max: 999_999_999 }))
    .map(([minus, seconds, nanos]) => `${minus ? "-" : ""}${String(seconds)}.${String(nanos).padStart(9, "0")}s`),
  "google.protobuf.Timestamp": fc.constantFrom("2026-01-02T03:04:05Z", "1970-01-01T00:00:00.5Z"),
  "google.protobuf.FieldMask": fc.constantFrom("", "a", "a.b,cD"),
  "google.protobuf.Struct": fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 })) as fc.Arbitrary<JsonValue>,
  "google.protobuf.Value": fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<JsonValue>,
  "google.protobuf.ListValue": fc.array(fc.jsonValue({ maxDepth: 1 })) as fc.Arbitrary<JsonValue>,
  "google.protobuf.Any": fc.constantFrom<JsonValue>(
    {},
    { "@type": `${PREFIX}envoy.extensions.filters.http.router.v3.Router` },
    { "@type": `${PREFIX}envoy.extensions.filters.http.router.v3.Router`, dynamic_stats: false },
    { "@type": `${PREFIX}google.protobuf.Duration`, value: "3s" },
    { "@type": `${PREFIX}google.protobuf.Struct`, value: { a: [1, null] } },
  ),
  "google.protobuf.BoolValue": fc.boolean(),
  "google.protobuf.UInt32Value": fc.nat(),
  "google.protobuf.Int32Value": fc.integer(),
  "google.protobuf.UInt64Value": fc.oneof(fc.nat(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String)),
  "google.protobuf.Int64Value": fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  "google.protobuf.DoubleValue": fc.double({ noNaN: true, noDefaultInfinity: true }),
  "google.protobuf.FloatValue": fc.float({ noNaN: true, noDefaultInfinity: true }),
  "google.protobuf.StringValue": fc.string({ unit: "grapheme" }),
  "google.protobuf.BytesValue": fc.uint8Array().map((bytes) => Buffer.from(bytes).toString("base64")),
};

function scalar(type: ScalarType): fc.Arbitrary<JsonValue> {
  switch (type) {
    case ScalarType.STRING:
      return fc.oneof(fc.string({ unit: "grapheme" }), fc.string({ minLength: 120, maxLength: 300 }));
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.uint8Array().map((bytes) => Buffer.from(bytes).toString("base64"));
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return fc.integer({ min: 0, max: 0xffff_ffff });
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return fc.integer();
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return fc.oneof(fc.nat(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String));
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
    case ScalarType.DOUBLE:
      return fc.double({ noNaN: true, noDefaultInfinity: true });
    case ScalarType.FLOAT:
      return fc.float({ noNaN: true, noDefaultInfinity: true });
  }
}

/** JSON of the field's kind; undefined where the depth is used up. */
function value(field: DescField, depth: number): fc.Arbitrary<JsonValue> | undefined {
  const single = (): fc.Arbitrary<JsonValue> | undefined => {
    if (field.message !== undefined) return message(field.message, depth - 1);
    if (field.enum !== undefined)
      return fc.constantFrom(...field.enum.values.flatMap(({ name, number }) => [name, number]));
    return field.scalar === undefined ? undefined : scalar(field.scalar);
  };
  const one = single();
  if (one === undefined) return undefined;
  if (field.fieldKind === "list") return fc.array(one, { maxLength: 3 });
  if (field.fieldKind !== "map") return one;
  const key = field.mapKey === ScalarType.STRING ? fc.string() : scalar(field.mapKey).map(String);
  return fc.dictionary(key, one, { maxKeys: 3 });
}

function message(desc: DescMessage, depth: number): fc.Arbitrary<JsonValue> | undefined {
  const known = WELL_KNOWN[desc.typeName];
  if (known !== undefined) return known;
  if (depth < 0 || desc.fields.some(({ proto }) => proto.label === FieldDescriptorProto_Label.REQUIRED))
    return undefined;
  return fc.shuffledSubarray([...desc.fields], { maxLength: Math.min(6, desc.fields.length) }).chain((fields) => {
    const seen = new Set<string>();
    const parts = fields.flatMap((field) => {
      const content = value(field, depth);
      // One member of a oneof at most.
      if (content === undefined || (field.oneof !== undefined && seen.has(field.oneof.name))) return [];
      if (field.oneof !== undefined) seen.add(field.oneof.name);
      return [fc.tuple(fc.constantFrom(field.name, field.jsonName), content)];
    });
    return fc.tuple(...parts).map((entries) => Object.fromEntries<JsonValue>(entries));
  });
}

const ROOTS = [
  "envoy.config.cluster.v3.Cluster",
  "envoy.config.endpoint.v3.ClusterLoadAssignment",
  "envoy.config.listener.v3.Listener",
  "envoy.config.route.v3.ScopedRouteConfiguration",
  "envoy.config.route.v3.Route",
  "envoy.extensions.transport_sockets.tls.v3.Secret",
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
  "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
  "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
  "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
  "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute",
  "cel.expr.ParsedExpr",
];

describe("encoding JSON without message objects", () => {
  it.each(ROOTS)("gives the library's bytes for %s", (root) => {
    const arbitrary = message(descriptors().message(root), 4);
    if (arbitrary === undefined) throw new Error(`nothing to try of ${root}`);
    fc.assert(
      fc.property(arbitrary, (json) => {
        const any = { ...(json as JsonObject), "@type": PREFIX + root };
        expect(Buffer.from(encodeAny(any)).equals(byLibrary(any))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it.each<[JsonValue, RegExp]>([
    [{ nme: "x" }, /unknown field "nme" in envoy.config.route.v3.RouteConfiguration/],
    [{ name: 1 }, /^name: must be a string, not 1/],
    [{ virtual_hosts: {} }, /^virtual_hosts: must be a list/],
    [{ virtual_hosts: [{ name: "a" }, { domains: [true] }] }, /^virtual_hosts\[1\]\.domains\[0\]: must be a string/],
    [{ virtual_hosts: [null] }, /^virtual_hosts\[0\]: must not be null/],
    [
      { virtual_hosts: [{ routes: [{ route: { timeout: "1m" } }] }] },
      /routes\[0\]\.route\.timeout: must be a duration/,
    ],
    [{ virtual_hosts: [{ require_tls: "SOME" }] }, /require_tls: must be one of NONE, EXTERNAL_ONLY, ALL/],
    [{ validate_clusters: "yes" }, /^validate_clusters: must be true or false/],
    [{ max_direct_response_body_size_bytes: -1 }, /between 0 and 4294967295/],
    [{ max_direct_response_body_size_bytes: 1.5 }, /whole number/],
    [
      { virtual_hosts: [{ routes: [{ route: { cluster: "a", cluster_header: "b" } }] }] },
      /only one of cluster and cluster_header/,
    ],
    [
      { name: "a", virtual_hosts: [{ include_request_attempt_count: true, includeRequestAttemptCount: true }] },
      /given twice/,
    ],
    [
      { typed_per_filter_config: { "a b": { "@type": `${PREFIX}envoy.X` } } },
      /^typed_per_filter_config\["a b"\]: Envoy's API has no message/,
    ],
    [{ typed_per_filter_config: { rbac: { rules: {} } } }, /"@type" must begin with/],
  ])("refuses %j and says where", (json, message) => {
    expect(() =>
      encodeAny({ ...(json as JsonObject), "@type": `${PREFIX}envoy.config.route.v3.RouteConfiguration` }),
    ).toThrow(message);
  });

  it("does not quote long values, which may be secret", () => {
    const secret = "s".repeat(64);
    const json = { "@type": `${PREFIX}envoy.config.route.v3.RouteConfiguration`, validate_clusters: secret };
    expect(() => encodeAny(json)).toThrow(/^validate_clusters: must be true or false, not string …$/);
  });

  it("keeps whole what is larger than its buffer, and what follows", () => {
    const large = { "@type": `${PREFIX}envoy.config.route.v3.RouteConfiguration`, name: "é".repeat(3_000_000) };
    expect(Buffer.from(encodeAny(large)).equals(byLibrary(large))).toBe(true);
    const small = { "@type": `${PREFIX}envoy.config.route.v3.RouteConfiguration`, name: "x" };
    expect(decodeAny(encodeAny(small))).toEqual(small);
  });
});
