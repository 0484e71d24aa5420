/** Pieces that the tables of accepted and refused sections are made of. */
import type { JsonValue } from "../../src/world.ts";

export const ref = { kind: "ConfigMap", name: "corp-jwks", key: "jwks.json" };
export const corp = { name: "corp", issuer: "https://sso.corp.test/realms/main" };
export const byRef = { ...corp, jwks: { type: "Ref", ref } };
export const identity = { type: "Exact", san: "URI", value: "spiffe://cluster.local/ns/shop/sa/web" };
export const limit = { name: "all", requests: 100, per: "1m" };
export const issuerRef = { kind: "ClusterIssuer", name: "letsencrypt" };
export const certificate = { issuerRef };

export const jwt = (extra: JsonValue): JsonValue => ({ jwt: [{ ...byRef, ...(extra as object) }] });
export const limits = (extra: JsonValue): JsonValue => ({ limits: [{ ...limit, ...(extra as object) }] });
export const listed = (extra: JsonValue): JsonValue => ({ entries: [{ cidr: "10.0.0.0/8", ...(extra as object) }] });
export const rules = (extra: JsonValue): JsonValue => ({
  rules: [{ name: "r", action: "Allow", ...(extra as object) }],
});
