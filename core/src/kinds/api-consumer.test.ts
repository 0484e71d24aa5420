import { describe, expect, it } from "@jest/globals";
import type { KubeObject } from "../world.ts";
import { parseApiConsumer } from "./api-consumer.ts";

const consumer = (spec: unknown): KubeObject => ({
  metadata: { name: "erp", namespace: "shop", labels: { tier: "partner" } },
  spec,
});
const secretRef = { name: "erp-k1", key: "api-key" };

describe("parseApiConsumer", () => {
  it("reads credentials with their times", () => {
    const apiKeys = [
      { name: "k1", secretRef, notBefore: "2026-11-01T00:00:00Z", expiresAt: "2027-11-01T00:00:00+01:00" },
      { name: "k2", secretRef },
    ];
    const basic = { secretRef: { name: "erp-basic", key: "password" } };
    const spec = {
      type: "Job",
      roles: ["user"],
      attributes: { department: "sales" },
      apiKeys,
      basic,
      suspended: false,
    };
    expect(parseApiConsumer(consumer(spec))).toEqual({
      key: { kind: "ApiConsumer", namespace: "shop", name: "erp" },
      uid: "",
      generation: 0,
      creationTimestamp: "",
      labels: { tier: "partner" },
      type: "Job",
      roles: ["user"],
      attributes: { department: "sales" },
      apiKeys: [
        { name: "k1", secretRef, notBeforeMs: Date.UTC(2026, 10, 1), expiresAtMs: Date.UTC(2027, 9, 31, 23) },
        { name: "k2", secretRef, notBeforeMs: undefined, expiresAtMs: undefined },
      ],
      basic,
      tokens: [],
      identities: [],
      suspended: false,
      problems: [],
    });
  });

  it("reads the tokens and certificates that are the consumer", () => {
    const identity = { type: "Regex", san: "URI", value: "spiffe://corp/(a|b)" } as const;
    const jwt = ["azp", "realm_access.client", "https://corp.test/app.id"].map((claim) => ({
      issuer: "https://sso.corp.test",
      claim,
      value: "erp",
    }));
    expect(parseApiConsumer(consumer({ jwt, identities: [identity] }))).toMatchObject({
      tokens: [{ claim: ["azp"] }, { claim: ["realm_access", "client"] }, { claim: ["https://corp.test/app.id"] }],
      identities: [identity],
      suspended: false,
      problems: [],
    });
  });

  it("keeps what can be made out of a broken consumer, to refuse it", () => {
    const token = { issuer: "https://sso.corp.test", claim: "azp", value: "erp" };
    const identity = { type: "Exact", san: "URI", value: "spiffe://corp/erp" } as const;
    const spec = {
      jwt: [token, { ...token, claim: "" }],
      identities: [identity, { type: "Regex", san: "URI", value: "(" }],
      unknown: true,
    };
    expect(parseApiConsumer(consumer(spec))).toMatchObject({
      tokens: [{ ...token, claim: ["azp"] }],
      identities: [identity],
      suspended: true,
    });
  });

  it.each([
    ["a pattern that is none", { identities: [{ type: "Regex", san: "URI", value: "(" }] }, "spec.identities[0].value"],
    [
      "an empty part of a claim",
      { jwt: [{ issuer: "https://sso.corp.test", claim: "a..b", value: "erp" }] },
      "spec.jwt[0].claim",
    ],
    [
      "an unknown field",
      { apiKeys: [{ name: "k1", secretRef, expires: "2027-11-01T00:00:00Z" }] },
      "spec.apiKeys[0].expires",
    ],
    ["a token without its claim", { jwt: [{ issuer: "https://a.test", value: "erp" }] }, "spec.jwt[0].claim"],
    ["a key in the clear", { apiKeys: [{ name: "k1", value: "hunter2" }] }, "spec.apiKeys[0].value"],
    [
      "an end before the beginning",
      { apiKeys: [{ name: "k1", secretRef, notBefore: "2027-01-01T00:00:00Z", expiresAt: "2026-01-01T00:00:00Z" }] },
      "spec.apiKeys[0]",
    ],
    [
      "two keys of one name",
      {
        apiKeys: [
          { name: "k1", secretRef },
          { name: "k1", secretRef },
        ],
      },
      "spec.apiKeys[1].name",
    ],
    ["nine keys", { apiKeys: Array.from({ length: 9 }, (_, n) => ({ name: `k${n}`, secretRef })) }, "spec.apiKeys"],
    ["no keys", { apiKeys: [] }, "spec.apiKeys"],
    ["a long name of an attribute", { attributes: { ["a".repeat(254)]: "b" } }, "spec.attributes"],
    ["another type", { type: "Robot" }, "spec.type"],
    ["no spec", undefined, "spec"],
    ["an empty spec", {}, "spec"],
    ["a list", [], "spec"],
  ])("has no credentials with %s", (_, spec, path) => {
    const parsed = parseApiConsumer(consumer(spec));
    expect(parsed.problems.map((problem) => problem.path)).toContain(path);
    expect(parsed).toMatchObject({ apiKeys: [], basic: undefined, suspended: true });
    expect(JSON.stringify(parsed)).not.toContain("hunter2");
  });
});
