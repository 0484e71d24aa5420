/** The order of a first evaluation. */
import { expect, test } from "@jest/globals";
import type { Change, Kind } from "../src/world.ts";
import { inStartOrder } from "../src/start-order.ts";

const change = (kind: Kind, namespace: string, name: string): Change => ({
  key: { kind, namespace, name },
  object: undefined,
});

test("what is referred to comes first; then policies on Gateways, Gateways, and each namespace's policies before its routes", () => {
  const mixed = [
    change("HTTPRoute", "b", "r"),
    change("ApiPolicy", "b", "p"),
    change("HTTPRoute", "a", "r1"),
    change("ApiPolicy", "edge", "p"),
    change("HTTPRoute", "a", "r2"),
    change("Gateway", "edge", "g"),
    change("Service", "a", "s"),
    change("ApiPolicy", "a", "p"),
    change("HTTPRoute", "edge", "r"),
    change("Secret", "a", "s"),
    change("GatewayClass", "", "c"),
  ];
  expect(inStartOrder(mixed).map(({ key }) => `${key.kind} ${key.namespace} ${key.name}`)).toEqual([
    "GatewayClass  c",
    "Secret a s",
    "Service a s",
    "ApiPolicy edge p",
    "Gateway edge g",
    "ApiPolicy a p",
    "HTTPRoute a r1",
    "HTTPRoute a r2",
    "ApiPolicy b p",
    "HTTPRoute b r",
    "HTTPRoute edge r",
  ]);
});
