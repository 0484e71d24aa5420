/** What a nearer policy may drop of an Override's authentication, and what it may not add. */
import { describe, expect, it } from "@jest/globals";
import { atOf, lookupOf, routeOf, sourceOf, type World } from "../../../test/section.ts";
import { createKeys, jwk, keySet } from "../../../test/tokens.ts";
import type { Model } from "./model.ts";
import type { JwtSpec, Spec } from "./schema.ts";
import { authentication } from "./slice.ts";
import { tighten } from "./tighten.ts";

const keys = createKeys();
const others = createKeys();
const inline = (set = keys): NonNullable<JwtSpec["jwks"]> => ({
  type: "Inline",
  inline: keySet(jwk(set.rsa), jwk(set.p256)),
});
const corp = { name: "corp", issuer: "https://corp.test", jwks: inline() } satisfies JwtSpec;
const partner = { name: "partner", issuer: "https://partner.test", jwks: inline() } satisfies JwtSpec;

const world: World = {
  consumers: ["infra", "shop"].flatMap((namespace) => [
    { namespace, name: "a", labels: { tier: "one" }, liveKeys: [`a-${namespace}`], password: "pw" },
    { namespace, name: "b", labels: { tier: "two" }, liveKeys: [`b-${namespace}`], password: "pw" },
  ]),
};

function model(spec: Spec, namespace: string): Model {
  const source = sourceOf("authentication", namespace === "infra" ? "Gateway" : "Route", "p", namespace);
  const resolved = authentication.resolve(spec, atOf(source), lookupOf(world));
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.problems));
  return resolved.model;
}

function tightened(floor: Spec, near: Spec, nearNamespace = "shop"): ReturnType<typeof tighten> {
  return tighten(model(floor, "infra"), model(near, nearNamespace));
}

describe("a nearer authentication under an Override", () => {
  it("may drop methods, and is what refusals then name", () => {
    const { model: left, overridden } = tightened({ jwt: [corp], apiKey: {}, basic: {} }, { jwt: [corp] });
    expect(overridden).toBeUndefined();
    expect(left).toMatchObject({ policy: "shop/p#authentication", mode: "Required", issuers: [{ name: "corp" }] });
    expect(left).not.toHaveProperty("apiKey");
    expect(left).not.toHaveProperty("basic");
    expect(left.dropped).toMatchObject({ keys: [{ in: "header", name: "x-api-key" }], basic: true, tokens: [] });
  });

  it("changes nothing where it names everything", () => {
    const floor: Spec = { jwt: [corp], apiKey: {} };
    expect(tightened(floor, floor).model).toEqual(model(floor, "infra"));
  });

  it("may drop issuers, audiences and algorithms", () => {
    const floor: Spec = { jwt: [{ ...corp, audiences: ["a", "b"], algorithms: ["RS256", "ES256"] }, partner] };
    const { model: left, overridden } = tightened(floor, {
      jwt: [{ ...corp, audiences: ["b"], algorithms: ["ES256"] }],
    });
    expect(overridden).toBeUndefined();
    expect(left.issuers).toHaveLength(1);
    const [issuer] = left.issuers;
    expect(issuer?.audiences).toEqual(["b"]);
    const kept = JSON.parse(issuer?.keys.jwks ?? "") as { readonly keys: readonly { readonly alg: string }[] };
    expect(kept.keys.map(({ alg }) => alg)).toEqual(["ES256"]);
  });

  it("leaves no key, and none of somebody else, where the floor has none for the algorithm", () => {
    const jwtOf = (algorithms: JwtSpec["algorithms"], set: typeof keys, alg: string): JwtSpec => ({
      ...{ name: "corp", issuer: "https://corp.test", algorithms: algorithms ?? [] },
      jwks: { type: "Inline", inline: keySet(jwk(set.rsa, { alg })) },
    });
    const floor: Spec = { jwt: [jwtOf(["RS256", "PS256"], keys, "RS256")] };
    const [issuer] = tightened(floor, { jwt: [jwtOf(["PS256"], others, "PS256")] }).model.issuers;
    expect(issuer?.keys).not.toHaveProperty("jwks");
  });

  it("never brings keys, roles or a longer clock skew of its own for an issuer", () => {
    const near: JwtSpec = { ...corp, jwks: inline(others), rolesClaim: ["mine"], clockSkew: "9m", forwardToken: true };
    const [issuer] = tightened({ jwt: [{ ...corp, rolesClaim: ["roles"] }] }, { jwt: [near] }).model.issuers;
    const [own] = model({ jwt: [{ ...corp, rolesClaim: ["roles"] }] }, "infra").issuers;
    expect(issuer).toEqual(own);
  });

  it.each<[string, Spec, Spec, RegExp]>([
    ["another issuer", { jwt: [corp] }, { jwt: [corp, partner] }, /issuer https:\/\/partner\.test/],
    [
      "another audience",
      { jwt: [{ ...corp, audiences: ["a"] }] },
      { jwt: [{ ...corp, audiences: ["a", "z"] }] },
      /audience z/,
    ],
    [
      "another algorithm",
      { jwt: [{ ...corp, algorithms: ["RS256"] }] },
      { jwt: [{ ...corp, algorithms: ["ES256"] }] },
      /algorithm ES256/,
    ],
    ["another place", { jwt: [corp] }, { jwt: [{ ...corp, from: { cookies: ["sid"] } }] }, /cookie sid/],
    ["another method", { jwt: [corp] }, { basic: {} }, /basic/],
    [
      "keys of its own consumers",
      { apiKey: {} },
      { apiKey: { consumerSelector: { matchLabels: { tier: "one" } } } },
      /namespace shop/,
    ],
    [
      "passwords of its own consumers",
      { basic: {} },
      { basic: { consumerSelector: { matchLabels: { tier: "one" } } } },
      /namespace shop/,
    ],
    [
      "a wider identity",
      { clientCertificate: { identities: [id("Exact", "spiffe://a/b")] } },
      { clientCertificate: { identities: [id("Prefix", "spiffe://a/")] } },
      /identity Prefix/,
    ],
    ["no credential", { apiKey: {} }, { mode: "Public", reason: "x" }, /mode Public/],
    ["none or a good one", { apiKey: {} }, { mode: "Optional", apiKey: {} }, /mode Optional/],
  ])("that asks for %s does not hold", (_, floor, near, message) => {
    const { model: left, overridden, partly } = tightened(floor, near);
    expect(overridden).toMatchObject({ reason: "Overridden", message: expect.stringMatching(message) as unknown });
    expect(partly).toBeUndefined();
    expect(left).toEqual(model(floor, "infra"));
  });

  it("keeps the consumers of the Override, or fewer of the same namespace", () => {
    expect(tightened({ jwt: [corp], apiKey: {} }, { apiKey: {} }).model).toMatchObject({
      namespace: "infra",
      qualified: true,
    });
    const one = { consumerSelector: { matchLabels: { tier: "one" } } };
    const { model: left } = tightened({ apiKey: {}, basic: {} }, { apiKey: one, basic: one }, "infra");
    expect(left.apiKey?.clients).toEqual(["infra/a"]);
    expect(left.basic?.users).toMatch(/^a:[^\n]*$/);
    const two = { consumerSelector: { matchLabels: { tier: "two" } } };
    expect(tightened({ apiKey: one }, { apiKey: two }, "infra").model.apiKey?.clients).toEqual([]);
  });

  it("may name narrower identities", () => {
    const narrow = { clientCertificate: { identities: [id("Exact", "spiffe://a/b"), id("Prefix", "spiffe://a/c/")] } };
    const { model: left, overridden } = tightened(
      { clientCertificate: { identities: [id("Prefix", "spiffe://a/")] } },
      narrow,
    );
    expect(overridden).toBeUndefined();
    expect(left.identities).toEqual(narrow.clientCertificate.identities);
  });

  it("may ask for a credential where the floor does not insist", () => {
    const { model: left, overridden } = tightened({ mode: "Optional", apiKey: {} }, { apiKey: {} });
    expect(overridden).toBeUndefined();
    expect(left.mode).toBe("Required");
  });
});

describe("forbidden modes", () => {
  it("choose no method and let others through", () => {
    const { model: left, overridden } = tightened({ forbid: ["Public"] }, { mode: "Optional", apiKey: {} });
    expect(overridden).toBeUndefined();
    expect(left).toMatchObject({ mode: "Optional", namespace: "shop", policy: "shop/p#authentication" });
  });

  it("close the route where only a forbidden mode is written, or nothing", () => {
    const { model: left, overridden } = tightened({ forbid: ["Public"] }, { mode: "Public", reason: "x" });
    expect(overridden?.message).toMatch(/forbids mode Public/);
    expect(authentication.route?.(left, routeOf(sourceOf("authentication")))).toMatchObject({
      refuse: { status: 403, code: "GW-POLICY-001", policy: "infra/p#authentication" },
    });
  });

  it("hold under a farther Override, too", () => {
    const nearest = tighten(model({ forbid: ["Optional"] }, "shop"), model({ jwt: [partner] }, "shop")).model;
    const { model: left, overridden } = tighten(model({ mode: "Optional", apiKey: {} }, "infra"), nearest);
    expect(overridden).toBeDefined();
    expect(left).toMatchObject({ mode: "Required", namespace: "infra" });
  });

  it("need precedence Override", () => {
    const at = atOf(sourceOf("authentication"));
    expect(authentication.validate({ forbid: ["Public"] }, at)).toMatchObject([{ path: "spec.authentication.forbid" }]);
    const override = { ...at, source: { ...at.source, precedence: "Override" } } as const;
    expect(authentication.validate({ forbid: ["Public"] }, override)).toEqual([]);
  });
});

describe("what was dropped", () => {
  it("still chooses, and is refused: neither a good credential behind it nor none at all counts then", () => {
    const { model: left } = tightened({ mode: "Optional", jwt: [corp], apiKey: {} }, { mode: "Optional", apiKey: {} });
    const piece = authentication.route?.(left, routeOf(sourceOf("authentication")));
    const [first] = piece?.branches ?? [];
    expect(first).toMatchObject({
      match: { headers: [{ name: "authorization" }] },
      piece: { refuse: { status: 401, code: "GW-AUTHN-002" } },
    });
    expect(authentication.credentialHeaders?.(left)).toContain("authorization");
  });
});

function id(
  type: "Exact" | "Prefix",
  value: string,
): { readonly type: typeof type; readonly san: "URI"; readonly value: string } {
  return { type, san: "URI", value };
}
