/** The Gateways that an ApiConsumer's status names: those whose proxies hold a credential of its namespace, whichever kind it is. */
import { expect, test } from "@jest/globals";
import { createEngine } from "../src/engine.ts";
import type { Engine } from "../src/world.ts";
import { backend, gateway, gatewayClass, gone, OPTIONS, policy, put, route, service } from "./objects.ts";

const NOW = Date.parse("2026-06-01T00:00:00Z");
const target = [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "shop" }];
const erp = put("ApiConsumer", "erp", { spec: { basic: { secretRef: { name: "erp", key: "password" } } } });
const secret = put("Secret", "erp", { data: { password: Buffer.from("the-password").toString("base64") } });
const accepting = (authentication: object): ReturnType<typeof policy> => policy("shop", target, { authentication });

function start(authentication: object): { readonly engine: Engine; readonly gateways: readonly string[] | undefined } {
  const engine = createEngine(OPTIONS);
  const outputs = [
    engine.apply(
      [
        gatewayClass,
        gateway("edge", [{ name: "http", port: 80, protocol: "HTTP" }]),
        ...service("app", { address: "10.0.0.1", port: 80 }),
        route("shop", { hostnames: ["shop.test"], rules: [{ backendRefs: [backend("app")] }] }),
        erp,
        accepting(authentication),
      ],
      NOW,
    ),
    engine.apply([secret], NOW),
  ];
  return { engine, gateways: gatewaysIn(outputs) };
}

function gatewaysIn(outputs: readonly ReturnType<Engine["apply"]>[]): readonly string[] | undefined {
  const status = outputs.flatMap(({ statuses }) => statuses).findLast(({ key }) => key.kind === "ApiConsumer")?.status;
  return status?.kind === "ApiConsumer" ? status.gateways : undefined;
}

test.each([
  ["passwords alone", { basic: {} }],
  ["passwords or nothing", { mode: "Optional", basic: {} }],
  ["passwords beside tokens", { basic: {}, jwt: [{ name: "a", issuer: "https://a.test", audiences: ["shop"] }] }],
])("a consumer with a password is attached where policies take %s", (_, authentication) => {
  expect(start(authentication).gateways).toEqual(["shop/edge"]);
});

test("and is no longer when the policy goes, or where no password is taken", () => {
  const { engine, gateways } = start({ basic: {} });
  expect(gateways).toEqual(["shop/edge"]);
  expect(gatewaysIn([engine.apply([gone(accepting({}))], NOW)])).toEqual([]);
  expect(start({ jwt: [{ name: "a", issuer: "https://a.test", audiences: ["shop"] }] }).gateways).toEqual([]);
  expect(start({ mode: "Public", reason: "open" }).gateways).toEqual([]);
});
