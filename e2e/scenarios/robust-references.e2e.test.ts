/** An edit that names another object: nothing closes for the moment in which the operator reads it. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { claimsFor, createSigner, keySet } from "../material/jwt.ts";
import { bearer, guard, keysIn, tokensOf } from "./authentication-manifest.ts";
import { apiPolicy } from "./policies-manifest.ts";
import { startTraffic } from "./robust-observed.ts";

const CORP = "https://sso.corp.test/realms/main";
const EDITS = 15;
const LIMIT_MS = 60_000;

describe("references that change", () => {
  const signer = createSigner("ES256");
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("references");
    await shop.upstream("orders");
    edge = await shop.gateway();
    for (let version = 0; version <= EDITS; version += 1)
      await shop.configMap(`keys-${String(version)}`, { "jwks.json": keySet(signer) });
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const keysOf = (version: number) => tokensOf(CORP, keysIn(`keys-${String(version)}`));

  it(
    "refuse no good token while a policy goes from one key set to the next",
    async () => {
      await guard(shop, "moving", keysOf(0));
      const headers = bearer(signer.token(claimsFor(CORP, "shop")));
      const traffic = await startTraffic(harness, edge.target(), [{ host: "moving.test", headers }]);
      for (let version = 1; version <= EDITS; version += 1) {
        await shop.apply(
          apiPolicy("moving", { kind: "HTTPRoute", name: "moving" }, { authentication: keysOf(version) }),
        );
        await shop.waitFor("ApiPolicy", "moving", "Ready");
      }
      const { sent, failures } = await traffic.stop();
      expect(failures).toEqual([]);
      expect(sent).toBeGreaterThan(EDITS);
    },
    LIMIT_MS,
  );
});
