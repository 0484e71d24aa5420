/** What may become of an ApiGrant on a real API server: its end moves earlier, it is revoked for good, and nothing else of it changes. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { Cluster } from "../../e2e/cluster/driver.ts";
import { testCluster } from "../../e2e/cluster/shared.ts";
import { type Manifest, refusals } from "./admission.ts";
import { installCrds } from "./install.ts";
import { GRANT } from "./objects.ts";

const START_LIMIT_MS = 15 * 60_000;
const { notBefore: _notBefore, ...fromNowOn } = GRANT;
const { revoked: _revoked, ...silent } = GRANT;
const revoked = { ...GRANT, revoked: true };

type Edit = readonly [what: string, before: object, after: object, refusal?: RegExp];
const EDITS: readonly Edit[] = [
  ["nothing", GRANT, GRANT],
  ["an earlier end", GRANT, { ...GRANT, expiresAt: "2026-12-01T12:00:00Z" }],
  ["the same end, written otherwise", GRANT, { ...GRANT, expiresAt: "2026-12-02T01:00:00+01:00" }],
  ["a later end", GRANT, { ...GRANT, expiresAt: "2026-12-02T00:00:01Z" }, /can only move earlier/],
  ["a later end by its offset", GRANT, { ...GRANT, expiresAt: "2026-12-02T00:00:00-01:00" }, /can only move earlier/],
  ["an end before the beginning", GRANT, { ...GRANT, expiresAt: "2026-11-01T00:00:00Z" }, /before it begins/],
  ["another consumer", GRANT, { ...GRANT, consumer: { name: "crm" } }, /cannot be changed/],
  ["another policy", GRANT, { ...GRANT, policy: { ...GRANT.policy, name: "items" } }, /cannot be changed/],
  ["one rule more", GRANT, { ...GRANT, policy: { ...GRANT.policy, rules: ["export", "delete"] } }, /cannot be changed/],
  ["another rule", GRANT, { ...GRANT, policy: { ...GRANT.policy, rules: ["delete"] } }, /cannot be changed/],
  ["an earlier beginning", GRANT, { ...GRANT, notBefore: "2026-11-30T00:00:00Z" }, /notBefore cannot be changed/],
  ["no beginning any more", GRANT, fromNowOn, /notBefore cannot be changed/],
  ["a beginning at last", fromNowOn, GRANT, /notBefore cannot be changed/],
  ["revoked", GRANT, revoked],
  ["revoked where nothing was said", silent, revoked],
  ["revoked no more", revoked, GRANT, /was revoked/],
  ["revoked, then nothing said", revoked, silent, /was revoked/],
  ["another ticket", GRANT, { ...GRANT, ticket: "OPS-1235" }],
];

describe("edits of a grant on the API server", () => {
  let cluster: Cluster;
  let said: ReadonlyMap<string, string>;

  beforeAll(async () => {
    cluster = await testCluster();
    await installCrds(cluster);
    const namespace = await cluster.createNamespace("grants");
    const manifests = (at: 1 | 2): readonly Manifest[] =>
      EDITS.map((edit, index) => ({
        apiVersion: "gatewarden.io/v1alpha1",
        kind: "ApiGrant",
        metadata: { name: `case-${String(index)}`, namespace },
        spec: edit[at],
      }));
    await cluster.apply(JSON.stringify({ apiVersion: "v1", kind: "List", items: manifests(1) }));
    said = await refusals(cluster, manifests(2), "replace");
  }, START_LIMIT_MS);
  afterAll(() => cluster.stop());

  it.each(EDITS.map(([what, , , refusal], index) => [what, index, refusal] as const))("%s", (_, index, refusal) => {
    const answer = said.get(`case-${String(index)}`);
    if (refusal === undefined) expect(answer).toBeUndefined();
    else expect(answer).toMatch(refusal);
  });
});
