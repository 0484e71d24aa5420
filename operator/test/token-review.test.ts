import { beforeEach, describe, expect, test } from "@jest/globals";
import { createTokenReviewer, type Identity } from "../src/token-review.ts";
import { createFakeClient, failure, type FakeClient } from "./fake-client.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";

const HOUR_MS = 3_600_000;
const signal = new AbortController().signal;

describe("the review of a proxy's token", () => {
  let clock: ManualClock;
  let api: FakeClient;
  let status: Readonly<Record<string, unknown>> | undefined;
  let review: (token: string) => Promise<Identity>;

  const token = (expiresInMs = HOUR_MS): string => {
    const payload = { exp: Math.floor((clock.now() + expiresInMs) / 1000), jti: String(expiresInMs) };
    return `h.${Buffer.from(JSON.stringify(payload)).toString("base64url")}.s`;
  };

  beforeEach(() => {
    clock = createManualClock();
    status = {
      authenticated: true,
      audiences: ["gatewarden"],
      user: { username: "system:serviceaccount:shop:gateway-web" },
    };
    api = createFakeClient(() =>
      status === undefined ? failure(0, "NoAnswer") : { ok: true, value: { metadata: { name: "" }, status } },
    );
    const reviewer = createTokenReviewer(api.client, clock);
    review = (text) => reviewer(text, signal);
  });

  test("says whose proxy it is, and until when", async () => {
    expect(await review(token())).toEqual({
      ok: true,
      gateways: new Set(["shop/web"]),
      expiresAtMs: clock.now() + HOUR_MS,
    });
    expect(api.asked[0]?.body).toMatchObject({ spec: { audiences: ["gatewarden"] } });
  });

  test.each([
    ["not authenticated", { authenticated: false }],
    [
      "of an authenticator that knows no audiences",
      { authenticated: true, user: { username: "system:serviceaccount:shop:gateway-web" } },
    ],
    [
      "for another audience",
      { authenticated: true, audiences: ["vault"], user: { username: "system:serviceaccount:shop:gateway-web" } },
    ],
    [
      "of another ServiceAccount",
      { authenticated: true, audiences: ["gatewarden"], user: { username: "system:serviceaccount:shop:web" } },
    ],
    ["of a person", { authenticated: true, audiences: ["gatewarden"], user: { username: "gateway-web" } }],
    ["of nobody", {}],
  ])("refuses a token %s", async (_what, given) => {
    status = given;
    expect(await review(token())).toMatchObject({ ok: false });
  });

  test.each(["", "x", "a.b.c", `a.${Buffer.from("null").toString("base64url")}.c`, "x".repeat(20_000)])(
    "does not ask about what is no token at all",
    async (text) => {
      expect(await review(text)).toMatchObject({ ok: false });
      expect(api.asked).toEqual([]);
    },
  );

  test("does not ask about an expired token", async () => {
    expect(await review(token(-1_000))).toEqual({ ok: false, message: "the token has expired" });
    expect(api.asked).toEqual([]);
  });

  test("asks once a minute about the same token, also when it was refused", async () => {
    const same = token();
    await review(same);
    await review(same);
    expect(api.asked).toHaveLength(1);
    await clock.advance(60_001);
    status = { authenticated: false };
    expect(await review(same)).toMatchObject({ ok: false });
    expect(await review(same)).toMatchObject({ ok: false });
    expect(api.asked).toHaveLength(2);
    await clock.advance(60_001);
    status = {
      authenticated: true,
      audiences: ["gatewarden"],
      user: { username: "system:serviceaccount:shop:gateway-web" },
    };
    expect(await review(same)).toMatchObject({ ok: true });
  });

  test("keeps a reviewed token for its life while the API server is away, and no other", async () => {
    const known = token();
    await review(known);
    status = undefined;
    await clock.advance(HOUR_MS / 2);
    expect(await review(known)).toMatchObject({ ok: true });
    expect(await review(token(HOUR_MS * 2))).toMatchObject({ ok: false });
    await clock.advance(HOUR_MS);
    expect(await review(known)).toEqual({ ok: false, message: "the token has expired" });
  });
});
