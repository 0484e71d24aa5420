import { describe, expect, it } from "@jest/globals";
import type { KubeObject } from "../world.ts";
import { parseApiGrant } from "./api-grant.ts";

const grant = (spec: unknown): KubeObject => ({ metadata: { name: "erp-export", namespace: "shop" }, spec });
const spec = {
  consumer: { name: "erp" },
  policy: { name: "orders", rules: ["export"] },
  notBefore: "2026-12-01T00:00:00Z",
  expiresAt: "2026-12-02T00:00:00+01:00",
  ticket: "OPS-1234",
  revoked: false,
};

describe("parseApiGrant", () => {
  it("reads the right with its times", () => {
    expect(parseApiGrant(grant(spec))).toEqual({
      key: { kind: "ApiGrant", namespace: "shop", name: "erp-export" },
      uid: "",
      generation: 0,
      creationTimestamp: "",
      right: {
        consumer: "erp",
        policy: "orders",
        rules: ["export"],
        notBeforeMs: Date.UTC(2026, 11, 1),
        expiresAtMs: Date.UTC(2026, 11, 1, 23),
        revoked: false,
      },
      problems: [],
    });
  });

  const { consumer: _consumer, ...nobody } = spec;
  const { policy: _policy, ...nothing } = spec;
  const { expiresAt: _expiresAt, ...forever } = spec;
  it.each<[string, unknown, string]>([
    ["nobody who has it", nobody, "spec.consumer"],
    ["nothing that it is to", nothing, "spec.policy"],
    ["no rules", { ...spec, policy: { name: "orders", rules: [] } }, "spec.policy.rules"],
    ["no end", forever, "spec.expiresAt"],
    ["an end that is no time", { ...spec, expiresAt: "tomorrow" }, "spec.expiresAt"],
    ["an end before the beginning", { ...spec, expiresAt: "2026-11-30T00:00:00Z" }, "spec"],
    ["an end at the beginning", { ...spec, expiresAt: spec.notBefore }, "spec"],
    [
      "a consumer of another namespace",
      { ...spec, consumer: { name: "erp", namespace: "ops" } },
      "spec.consumer.namespace",
    ],
    ["a field that is not known", { ...spec, revokedAt: "2026-12-01T00:00:00Z" }, "spec.revokedAt"],
    ["a word for revoked", { ...spec, revoked: "yes" }, "spec.revoked"],
    ["no spec", undefined, "spec"],
  ])("gives no right with %s", (_, written, path) => {
    const parsed = parseApiGrant(grant(written));
    expect(parsed.right).toBeUndefined();
    expect(parsed.problems.map((problem) => problem.path)).toContain(path);
  });
});
