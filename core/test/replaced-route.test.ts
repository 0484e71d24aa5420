import { expect, test } from "@jest/globals";
import { createEngine } from "../src/engine.ts";
import type { Output } from "../src/world.ts";
import { gateway, gatewayClass, gone, OPTIONS, put, route } from "./objects.ts";

test("a route that goes and comes in one batch keeps its places when it is looked at again", () => {
  const engine = createEngine({ ...OPTIONS, requirePolicy: true });
  const from = { from: "Selector", selector: { matchLabels: { open: "yes" } } };
  const listener = { name: "http", port: 80, protocol: "HTTP" };
  const orders = route("orders", {
    parentRefs: [{ name: "all" }, { name: "labelled" }],
    hostnames: ["x.test"],
    rules: [{ backendRefs: [] }],
  });
  const opened = put("Namespace", "shop", { metadata: { name: "shop", labels: { open: "yes" } } });
  const scopes = ({ resources }: Output): readonly unknown[] =>
    resources
      .filter(({ name }) => name.endsWith("|x.test"))
      .map((change) => [change.gateway, change.json !== undefined]);
  engine.apply([gatewayClass, gateway("labelled", [{ ...listener, allowedRoutes: { namespaces: from } }]), orders], 0);
  expect(scopes(engine.apply([gateway("all", [listener])], 0))).toEqual([["shop/all", true]]);
  engine.apply([gone(orders), orders], 0);
  expect(scopes(engine.apply([opened], 0))).toEqual([["shop/labelled", true]]);
});
