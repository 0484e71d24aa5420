/** What the section refuses by itself, what it makes of references, and the shape of its routes. */
import { describe, expect, test } from "@jest/globals";
import { lookup, type Fetched } from "../../../test/authentication.ts";
import { atOf, routeOf, sourceOf, type World } from "../../../test/section.ts";
import { createKeys, jwk, keySet } from "../../../test/tokens.ts";
import type { Level, RouteContext, RoutePiece } from "../../slice.ts";
import type { Model } from "./model.ts";
import type { Spec } from "./schema.ts";
import { authentication } from "./slice.ts";

const keys = createKeys();
const at = atOf(sourceOf("authentication"));
const good = keySet(jwk(keys.rsa));
const corp = { name: "corp", issuer: "https://sso.corp.test" } as const;
const inline = { type: "Inline", inline: good } as const;

function model(spec: Spec, world: World & Fetched = {}, level: Level = "Route"): Model {
  const resolution = authentication.resolve(spec, atOf(sourceOf("authentication", level)), lookup(world));
  if (!resolution.ok) throw new Error(JSON.stringify(resolution.problems));
  return resolution.model;
}

function route(spec: Spec, world: World & Fetched = {}, context: Partial<RouteContext> = {}): RoutePiece {
  return authentication.route?.(model(spec, world), routeOf(sourceOf("authentication"), context)) ?? {};
}

describe("validate", () => {
  test.each<[string, Spec, string]>([
    [
      "HS* with an inline key",
      { jwt: [{ ...corp, algorithms: ["HS256"], jwks: inline }] },
      "spec.authentication.jwt[0].algorithms",
    ],
    [
      "HS* with a ConfigMap",
      {
        jwt: [
          {
            ...corp,
            algorithms: ["RS256", "HS512"],
            jwks: { type: "Ref", ref: { kind: "ConfigMap", name: "a", key: "b" } },
          },
        ],
      },
      "spec.authentication.jwt[0].algorithms",
    ],
    [
      "an inline set without a usable key",
      { jwt: [{ ...corp, algorithms: ["ES256"], jwks: inline }] },
      "spec.authentication.jwt[0].jwks.inline",
    ],
    [
      "an identity header that carries a credential",
      {
        apiKey: { from: { headers: ["x-caller"] } },
        jwt: [{ ...corp, jwks: inline, claimsToHeaders: [{ claim: "sub", header: "x-caller" }] }],
      },
      "spec.authentication.jwt[0].claimsToHeaders[0].header",
    ],
    [
      "a consumer header that is the default key header",
      { apiKey: {}, basic: { consumerHeader: "x-api-key" } },
      "spec.authentication.basic.consumerHeader",
    ],
    [
      "a pattern that RE2 does not know",
      { clientCertificate: { identities: [{ type: "Regex", san: "URI", value: "(?!a)b" }] } },
      "spec.authentication.clientCertificate.identities[0].value",
    ],
  ])("refuses %s", (_, spec, path) => {
    expect(authentication.validate(spec, at)).toEqual([
      expect.objectContaining({ reason: "Invalid", path, fix: expect.any(String) }),
    ]);
  });

  test("takes the same characters in an identity that is no pattern", () => {
    expect(
      authentication.validate(
        { clientCertificate: { identities: [{ type: "Exact", san: "URI", value: "(?!a)b" }] } },
        at,
      ),
    ).toEqual([]);
  });
});

describe("resolve", () => {
  const ref = (kind: "ConfigMap" | "Secret") =>
    ({ type: "Ref", ref: { kind, name: "corp", key: "jwks.json" } }) as const;

  test("a missing reference is the policy's problem, with its path", () => {
    expect(authentication.resolve({ jwt: [{ ...corp, jwks: ref("ConfigMap") }] }, at, lookup({}))).toMatchObject({
      ok: false,
      problems: [{ reason: "RefNotFound", path: "spec.authentication.jwt[0].jwks.ref" }],
    });
    const caRefs = [{ kind: "ConfigMap", name: "ca", key: "ca.crt" }] as const;
    expect(authentication.resolve({ jwt: [{ ...corp, jwks: { caRefs } }] }, at, lookup({}))).toMatchObject({
      ok: false,
      problems: [{ reason: "RefNotFound", path: "spec.authentication.jwt[0].jwks.caRefs[0]" }],
    });
    const backendRef = { name: "sso", port: 443 };
    expect(authentication.resolve({ jwt: [{ ...corp, jwks: { backendRef } }] }, at, lookup({}))).toMatchObject({
      ok: false,
      problems: [{ path: "spec.authentication.jwt[0].jwks.backendRef" }],
    });
  });

  test("a key set that cannot be used is named without its content", () => {
    const values = { "ConfigMap/shop/corp/jwks.json": '{"keys":[{"kty":"oct","k":"canary"}]}' };
    const result = authentication.resolve({ jwt: [{ ...corp, jwks: ref("ConfigMap") }] }, at, lookup({ values }));
    expect(result).toMatchObject({ ok: false, problems: [{ reason: "InvalidRef" }] });
    expect(JSON.stringify(result)).not.toContain("canary");
  });

  test("a set that was never fetched leaves its tokens without keys and says so; of a newer failure the last good one knows", () => {
    const spec: Spec = { jwt: [corp] };
    const resolved = (jwks: Fetched["jwks"]) =>
      authentication.resolve(spec, at, lookup(jwks === undefined ? {} : { jwks }));
    expect(resolved(undefined)).toMatchObject({ ok: true, warnings: [{ severity: "pending" }] });
    expect(resolved({ [corp.issuer]: { error: "timeout" } })).toMatchObject({
      ok: true,
      model: { issuers: [{ keys: { id: expect.any(String) } }] },
      warnings: [{ severity: "unmet", message: expect.stringContaining("timeout") }],
    });
    expect(resolved({ [corp.issuer]: { jwks: '{"keys":[]}' } })).toMatchObject({
      ok: true,
      warnings: [{ severity: "unmet" }],
    });
    const stale = resolved({ [corp.issuer]: { jwks: good, error: "timeout" } });
    expect(stale).toMatchObject({
      ok: true,
      model: { issuers: [{ keys: { jwks: expect.any(String) } }] },
      warnings: [{ severity: "warning" }],
    });
    expect(resolved({ [corp.issuer]: { jwks: good } })).not.toHaveProperty("warnings");
  });

  test("where to fetch is a source of its own for each way to fetch", () => {
    const sources: unknown[] = [];
    const reads = lookup({ values: { "ConfigMap/shop/ca/ca.crt": "PEM\n" }, backends: { "sso/keycloak:8443": "c" } });
    const recording = { ...reads, jwks: (source: unknown) => void sources.push(source) };
    const resolve = (jwks: NonNullable<Spec["jwt"]>[number]["jwks"]) =>
      authentication.resolve({ jwt: [jwks === undefined ? corp : { ...corp, jwks }] }, at, recording);
    resolve(undefined);
    resolve({ type: "URI", uri: "https://sso.corp.test/keys" });
    resolve({
      backendRef: { name: "keycloak", namespace: "sso", port: 8443 },
      caRefs: [{ kind: "ConfigMap", name: "ca", key: "ca.crt" }],
    });
    expect(sources).toEqual([
      { id: expect.any(String), type: "Discovery", uri: corp.issuer },
      { id: expect.any(String), type: "URI", uri: "https://sso.corp.test/keys" },
      {
        id: expect.any(String),
        type: "Discovery",
        uri: corp.issuer,
        backend: { host: "sso/keycloak:8443", port: 8443 },
        caPem: "PEM",
      },
    ]);
    expect(new Set(sources.map((source) => (source as { readonly id: string }).id)).size).toBe(3);
  });

  test("suspended consumers and those without live credentials are nobody", () => {
    const consumers = [
      { name: "a", liveKeys: ["k"], password: "p" },
      { name: "b", liveKeys: ["l"], password: "q", suspended: true },
      { name: "c" },
      { name: "d", namespace: "other", liveKeys: ["m"], password: "r" },
    ];
    const labelled = consumers.map((consumer) => ({ ...consumer, labels: { tier: "x" } }));
    const consumerSelector = { matchLabels: { tier: "x" } };
    const { apiKey, basic } = model({ apiKey: { consumerSelector }, basic: {} }, { consumers: labelled });
    expect(apiKey?.clients).toEqual(["shop/a"]);
    expect(basic?.users).toMatch(/^a:\{SHA\}.{28}$/);
  });

  test("passwords are not in the model", () => {
    expect(JSON.stringify(model({ basic: {} }, { consumers: [{ name: "a", password: "canary" }] }))).not.toContain(
      "canary",
    );
  });
});

test("only client certificates can be looked at without refusing", () => {
  const audit = authentication.audit as (spec: Spec) => true | string;
  const clientCertificate = { identities: [{ type: "Exact", san: "DNS", value: "a" }] } as const;
  expect(audit({ clientCertificate })).toBe(true);
  for (const spec of [{ apiKey: {} }, { basic: {} }, { jwt: [corp] }, { clientCertificate, apiKey: {} }]) {
    expect(audit(spec)).toEqual(expect.stringContaining("refuse"));
  }
});

describe("route", () => {
  const branches = (piece: RoutePiece): number => piece.branches?.length ?? 0;

  test("one method in one place needs no branch", () => {
    expect(branches(route({ apiKey: {} }))).toBe(0);
    expect(branches(route({ jwt: [{ ...corp, jwks: inline }] }))).toBe(0);
    expect(branches(route({ basic: {} }, { consumers: [{ name: "a", password: "p" }] }))).toBe(0);
  });

  test("several places, several methods and Optional split, and the last branch refuses or lets pass", () => {
    const several = route(
      { apiKey: { from: { headers: ["a"], params: ["b"] } }, basic: {} },
      { consumers: [{ name: "a", password: "p" }] },
    );
    expect(several.branches?.map(({ piece }) => piece.refuse?.status)).toEqual([undefined, undefined, undefined, 401]);
    const optional = route({ mode: "Optional", apiKey: {} });
    expect(optional.branches?.map(({ piece }) => piece.refuse?.code)).toEqual([undefined, "GW-AUTHN-002", undefined]);
  });

  test("never lets an empty list of clients or users reach Envoy", () => {
    const nobody = { consumerSelector: { matchLabels: { tier: "none" } } };
    for (const spec of [{ apiKey: nobody }, { basic: nobody }, { apiKey: nobody, basic: nobody }]) {
      for (const mode of ["Required", "Optional"] as const) {
        const text = JSON.stringify(route({ ...spec, mode }));
        expect(text).not.toContain("allowed_clients");
        expect(text).not.toContain("api_key_auth");
        expect(text).not.toContain("basic_auth");
        expect(text).toContain('"status":401');
      }
    }
  });

  test("is the same for the same policy, whatever its name", () => {
    const jwt: Spec = { jwt: [{ ...corp, jwks: inline }] };
    expect(route(jwt).slots).toEqual(route({ jwt: [{ ...corp, name: "other", jwks: inline }] }).slots);
    expect(route(jwt).slots).not.toEqual(route({ jwt: [{ ...corp, audiences: ["shop"], jwks: inline }] }).slots);
  });

  test("Public is nothing but its provenance", () => {
    expect(route({ mode: "Public", reason: "probe" })).toEqual({
      metadata: { authentication: "shop/orders#authentication" },
    });
  });

  test("client certificates need a listener that asks for them", () => {
    const spec: Spec = { clientCertificate: { identities: [{ type: "Exact", san: "DNS", value: "a" }] } };
    const unsupported = (clientCertificates: RouteContext["clientCertificates"]) =>
      authentication.unsupported?.(model(spec), routeOf(sourceOf("authentication"), { clientCertificates }));
    expect(unsupported("Off")).toMatchObject([{ reason: "UnsupportedForTarget" }]);
    expect(unsupported("Strict")).toEqual([]);
    // Should nobody ask, nobody passes.
    expect(route(spec).branches).toMatchObject([{ piece: { refuse: { status: 401 } } }]);
  });

  test("names every header that only we may set", () => {
    const spec: Spec = {
      jwt: [
        {
          ...corp,
          jwks: inline,
          claimsToHeaders: [
            { claim: "sub", header: "x-user-id" },
            { claim: "org", header: "x-org" },
          ],
        },
      ],
      apiKey: { consumerHeader: "x-consumer" },
      basic: { consumerHeader: "x-consumer" },
    };
    expect(authentication.identityHeaders?.(model(spec))).toEqual(["x-user-id", "x-org", "x-consumer"]);
  });
});
