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

  it.each([
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
