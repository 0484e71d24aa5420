/** The operator's flag --require-policy=false: routes without authentication are served, all else holds as ever. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { API_KEY, apiPolicy } from "./policies-manifest.ts";
import { hostRoute, untilVerdict, verdict } from "./sections-manifest.ts";

describe("an operator that does not require policies", () => {
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness({ operatorFlags: ["--require-policy=false"] });
    shop = await harness.tenant("flag");
    await shop.upstream("orders");
    edge = await shop.gateway();
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  it("serves routes without authentication, and none that a policy closes", async () => {
    const at = (host: string): Promise<string> => verdict(edge.target(), { host });
    await shop.enforce([hostRoute("bare"), hostRoute("key"), hostRoute("broken")]);
    await untilVerdict(edge.target(), { host: "bare.test" }, "200");
    await shop.enforce(apiPolicy("key", { kind: "HTTPRoute", name: "key" }, API_KEY));
    await shop.apply(apiPolicy("broken", { kind: "HTTPRoute", name: "broken" }, { colour: "red", ...API_KEY }));
    await untilVerdict(edge.target(), { host: "broken.test" }, "503 GW-POLICY-002");
    expect([await at("bare.test"), await at("key.test")]).toEqual(["200", expect.stringMatching(/^401 /)]);
    await shop.remove("ApiPolicy", "key");
    await untilVerdict(edge.target(), { host: "key.test" }, "200");
  });

  it("is overruled by no annotation but the one that opens", async () => {
    const strict = await shop.gateway({ name: "strict", annotations: { "gatewarden.io/require-policy": "true" } });
    await shop.enforce(hostRoute("strict", { parentRefs: [{ name: "strict" }] }));
    await untilVerdict(strict.target(), { host: "strict.test" }, "200");
    expect(await verdict(strict.target(), { host: "strict.test" })).toBe("200");
  });
});
