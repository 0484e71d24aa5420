import { expect, test } from "@jest/globals";
import type { Output } from "@gatewarden/core/world.ts";
import { createPeers } from "../src/peers.ts";

const EMPTY: Output = {
  resources: [],
  statuses: [],
  certificates: [],
  watch: { add: [], remove: [] },
  jwks: { add: [], remove: [] },
  nextEvaluationMs: undefined,
  recomputed: {},
};
const key = { kind: "Gateway", namespace: "shop", name: "web" } as const;
const gateway: Output = {
  ...EMPTY,
  statuses: [{ key, status: { kind: "Gateway", generation: 1, conditions: [], addresses: [], listeners: [] } }],
};

test("a Gateway has one endpoint for each of its proxies, and at least one", () => {
  let connected = 0;
  const peers = createPeers(() => connected);
  const endpoints = (text: string): number => text.split("socket_address").length - 1;

  expect(peers.recount("shop/web")).toEqual([]); // not a Gateway that we know
  expect(endpoints(JSON.stringify(peers.update(gateway)))).toBe(1);
  expect(peers.update(gateway)).toEqual([]);
  connected = 3;
  const [change] = peers.recount("shop/web");
  expect(change).toMatchObject({ gateway: "shop/web", type: "endpoint", name: "gatewarden-self" });
  expect(endpoints(JSON.stringify(change?.json))).toBe(3);
  expect(peers.recount("shop/web")).toEqual([]);
  connected = 600;
  const addresses = JSON.stringify(peers.recount("shop/web")).match(/"socket_address":\{[^}]*\}/g);
  expect(new Set(addresses).size).toBe(600);
  expect(peers.update({ ...EMPTY, statuses: [{ key, status: undefined }] })).toMatchObject([{ json: undefined }]);
});
