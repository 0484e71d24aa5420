/** A replica and the link that it must not have: to itself. Others' links run over real connections in the replica scenarios. */
import { expect, test } from "@jest/globals";
import type { JsonObject } from "@gatewarden/xds/types.ts";
import type { Leader } from "../src/lease.ts";
import { silentLog } from "../src/log.ts";
import { countsMessage } from "../src/replicas/messages.ts";
import { createShare, type Share } from "../src/replicas/share.ts";
import { createManualClock } from "./manual-clock.ts";

const GATEWAY = "shop/web";

function replica(state: { leads: boolean; leader: Leader | undefined }) {
  const clock = createManualClock();
  let tokens = 0;
  const share: Share = createShare({
    clock,
    log: silentLog,
    account: {
      username: () => "system:serviceaccount:gatewarden:gatewarden",
      learn: () => Promise.resolve(true),
      token() {
        tokens += 1;
        return Promise.resolve(undefined);
      },
    },
    identity: "me",
    leads: () => state.leads,
    leader: () => state.leader,
    serverName: "gatewarden",
    caPem: () => "a certificate",
    own: {
      gateways: () => [GATEWAY],
      keys: () => [],
      report: () => ({ version: "", lacking: 0 }),
      proxies: () => ({ complete: 1, joining: 0 }),
      status: () => ({ state: "absent" }),
      turnedAway: () => undefined,
    },
    onReplicas: () => undefined,
    onElsewhere: () => undefined,
  });
  return { clock, share, tokens: () => tokens };
}

/** What a leader makes of a replica that says who it is and that it has a proxy. */
function greeted(identity: string): { readonly elsewhere: number; readonly ended: boolean } {
  const { share } = replica({ leads: true, leader: undefined });
  let ended = false;
  const events = share.accept({
    send: (_: JsonObject) => true,
    end() {
      ended = true;
      events.onEnd("ended");
    },
  });
  events.onMessage({ hello: identity });
  if (!ended) events.onMessage(countsMessage(new Map([[GATEWAY, { complete: 1, joining: 0 }]])));
  return { elsewhere: share.elsewhere(GATEWAY), ended };
}

test("a leader counts another replica's proxies, and its own only once", () => {
  expect(greeted("other")).toEqual({ elsewhere: 1, ended: false });
  expect(greeted("me")).toEqual({ elsewhere: 0, ended: true });
});

test("a leader that could not renew its lease for a moment looks for no other one", async () => {
  const state = { leads: false, leader: { identity: "me", address: "10.0.0.1:443" } };
  const { clock, share, tokens } = replica(state);
  share.start();
  await clock.advance(5_000);
  expect(tokens()).toBe(0);
  state.leader = { identity: "other", address: "10.0.0.2:443" };
  await clock.advance(5_000);
  expect(tokens()).toBeGreaterThan(0);
  await share.stop();
});
