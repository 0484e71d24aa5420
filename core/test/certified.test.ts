/** Client certificates as a way to authenticate, on a Gateway of which one listener asks for them: what holds by which listener, and what the status says. */
import { expect, test } from "@jest/globals";
import { createAuthority } from "../../e2e/cluster/pki.ts";
import { openEngine, type OpenEngine } from "../src/engine.ts";
import { targetOf } from "../src/simulate/request.ts";
import { simulate } from "../src/simulate/simulate.ts";
import type { Change, Condition } from "../src/world.ts";
import { backend, gateway, gatewayClass, OPTIONS, policy, put, route, service } from "./objects.ts";

const NOW_MS = Date.parse("2026-12-01T00:00:00Z");
const URI = "spiffe://partner/erp";
const clientCertificate = { identities: [{ type: "Exact", san: "URI", value: URI }] };
const listeners = ["optional", "off"].map((name) => ({
  name,
  port: 443,
  protocol: "HTTPS",
  hostname: `${name}.test`,
  tls: { certificateRefs: [{ name: "edge-tls" }] },
}));
const client = { mode: "Optional", caRefs: [{ kind: "ConfigMap", name: "partners", key: "ca.crt" }] };

interface World {
  readonly open: OpenEngine;
  readonly accepted: Condition | undefined;
  /** Status and code of a call by a listener, with or without its certificate or key. */
  readonly call: (listener: string, credential?: "certificate" | "key") => string;
}

/** The policy of a route that is attached to the listeners. */
function worldOf(authentication: object, attached: readonly string[], ...more: readonly Change[]): World {
  return policed({ authentication }, attached, ...more);
}

function policed(
  sections: Readonly<Record<string, unknown>>,
  attached: readonly string[],
  ...more: readonly Change[]
): World {
  const open = openEngine({ ...OPTIONS, requirePolicy: true });
  const { statuses, faults } = open.engine.apply(
    [
      gatewayClass,
      gateway("edge", [{ name: "http", port: 80, protocol: "HTTP" }, ...listeners]),
      ...service("echo", { address: "127.0.0.1", port: 1 }),
      put("ConfigMap", "partners", { data: { "ca.crt": createAuthority("partners").certificate } }),
      put("Secret", "erp", { data: { key: Buffer.from("k-1").toString("base64") } }),
      put("ApiConsumer", "erp", { spec: { apiKeys: [{ name: "k1", secretRef: { name: "erp", key: "key" } }] } }),
      policy("client", [{ kind: "Gateway", name: "edge", sectionName: "optional" }], { mtls: { client } }),
      route("orders", {
        parentRefs: attached.map((sectionName) => ({ name: "edge", sectionName })),
        rules: [{ backendRefs: [backend("echo")] }],
      }),
      policy("orders", [{ kind: "HTTPRoute", name: "orders" }], sections),
      ...more,
    ],
    NOW_MS,
  );
  expect(faults).toEqual([]);
  const found = statuses.find(({ key }) => key.kind === "ApiPolicy" && key.name === "orders")?.status;
  const ancestors = found?.kind === "ApiPolicy" ? found.ancestors : [];
  expect(ancestors).toHaveLength(1);
  return {
    open,
    accepted: ancestors[0]?.conditions.find(({ type }) => type === "Accepted"),
    call(listener, credential) {
      const target = targetOf(listener === "http" ? "http://any.test/" : `https://${listener}.test/`);
      if (target === undefined) throw new Error(listener);
      const { status, code } = simulate(open, {
        method: "GET",
        headers: credential === "key" ? [["x-api-key", "k-1"]] : [],
        from: "192.0.2.1",
        atMs: NOW_MS,
        ...(credential === "certificate" ? { certificate: { uris: [URI], dns: [], emails: [] } } : {}),
        ...target,
      });
      return `${String(status)} ${code}`.trim();
    },
  };
}

const everywhere = ["http", "off", "optional"];

test("where a listener asks for them they pass there; by the others nobody does, which the status names", () => {
  const { accepted, call } = worldOf({ clientCertificate }, everywhere);
  expect([call("optional", "certificate"), call("optional")]).toEqual(["200", "401 GW-AUTHN-001"]);
  for (const listener of ["http", "off"])
    expect([listener, call(listener), call(listener, "certificate")]).toEqual([
      listener,
      "503 GW-POLICY-002",
      "503 GW-POLICY-002",
    ]);
  expect(accepted).toMatchObject({ status: "True", reason: "Accepted" });
  for (const listener of ["http", "off"])
    expect(accepted?.message).toContain(
      `nobody can authenticate by listener ${listener}, which asks for no client certificate`,
    );
  expect(accepted?.message).not.toContain("listener optional");
});

test("where no listener asks for them the policy is not accepted", () => {
  const { accepted, call } = worldOf({ clientCertificate }, ["http", "off"]);
  expect(accepted).toMatchObject({ status: "False", reason: "UnsupportedForTarget" });
  expect([call("http"), call("off", "certificate")]).toEqual(["503 GW-POLICY-002", "503 GW-POLICY-002"]);
});

test("other methods beside them work by every listener, and none of them opens", () => {
  for (const attached of [everywhere, ["http", "off"]]) {
    const { accepted, call } = worldOf({ clientCertificate, apiKey: {} }, attached);
    for (const listener of attached)
      expect([listener, call(listener, "key"), call(listener)]).toEqual([listener, "200", "401 GW-AUTHN-001"]);
    expect(call("off", "certificate")).toBe("401 GW-AUTHN-001");
    expect(accepted?.status).toBe("True");
    for (const listener of ["http", "off"])
      expect(accepted?.message).toContain(
        `listener ${listener} asks for no client certificate: there the other methods alone count`,
      );
  }
});

test("a key that an Override does not take is no other method: the route stays closed", () => {
  const floor = { spec: { targetRefs: [{ kind: "Gateway", name: "edge" }], precedence: "Override" } };
  const { call } = worldOf(
    { clientCertificate, apiKey: {} },
    everywhere,
    put("ApiPolicy", "floor", { spec: { ...floor.spec, authentication: { clientCertificate } } }),
  );
  expect([call("optional", "certificate"), call("optional", "key")]).toEqual(["200", "401 GW-AUTHN-001"]);
  expect([call("http", "key"), call("http")]).toEqual(["503 GW-POLICY-002", "503 GW-POLICY-002"]);
});

test("rules about them hold by the listener that asks, close the route by the others, and the status names these", () => {
  const authentication = { clientCertificate, apiKey: {} };
  const rules = [{ name: "partners", action: "Allow", identities: clientCertificate.identities }];
  const { accepted, call } = policed({ authentication, authorization: { rules } }, everywhere);
  expect([call("optional", "certificate"), call("optional", "key")]).toEqual(["200", "403 GW-AUTHZ-001"]);
  for (const listener of ["http", "off"])
    expect([listener, call(listener, "key")]).toEqual([listener, "503 GW-POLICY-002"]);
  expect(accepted?.status).toBe("True");
  for (const listener of ["http", "off"])
    expect(accepted?.message).toContain(`asks for identities, and listener ${listener} asks for no client certificate`);
  expect(policed({ authentication, authorization: { rules } }, ["http", "off"]).accepted).toMatchObject({
    status: "False",
    reason: "UnsupportedForTarget",
  });
});
