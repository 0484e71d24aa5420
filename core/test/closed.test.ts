/** A broken policy of a listener closes the routes behind it: the refusal names it, and so do the statuses of the route and of its own policies. */
import { expect, test } from "@jest/globals";
import { createAuthority } from "../../e2e/cluster/pki.ts";
import { openEngine } from "../src/engine.ts";
import { targetOf } from "../src/simulate/request.ts";
import { simulate } from "../src/simulate/simulate.ts";
import type { Output } from "../src/world.ts";
import { backend, gateway, gatewayClass, OPTIONS, policy, put, route, service } from "./objects.ts";

const clientCertificate = { identities: [{ type: "Exact", san: "URI", value: "spiffe://partner/erp" }] };
const client = { mode: "Optional", caRefs: [{ kind: "ConfigMap", name: "partners", key: "ca.crt" }] };
const closed = (listener: string, by: string, why: string): string =>
  `calls by listener ${listener} are answered 503 where ${by} holds, which cannot be enforced: ${why}`;
const missing = closed("https", "shop/client#mtls", "ConfigMap shop/partners does not exist");

/** Messages of a kind of condition, by object. */
function messages({ statuses }: Output, type: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    statuses.flatMap(({ key, status }) => {
      const parts =
        status?.kind === "ApiPolicy" ? status.ancestors : status?.kind === "HTTPRoute" ? status.parents : [];
      return parts.flatMap(({ conditions }) =>
        conditions.filter((one) => one.type === type).map(({ message }) => [`${key.kind}/${key.name}`, message]),
      );
    }),
  );
}

function worldOf(authentication: object) {
  const open = openEngine({ ...OPTIONS, requirePolicy: true });
  const listeners = [
    { name: "http", port: 80, protocol: "HTTP" },
    { name: "https", port: 443, protocol: "HTTPS", hostname: "a.test", tls: { certificateRefs: [{ name: "a" }] } },
  ];
  const orders = (name: string, path: string) => [
    route(name, {
      hostnames: ["a.test"],
      rules: [{ matches: [{ path: { type: "PathPrefix", value: path } }], backendRefs: [backend("echo")] }],
    }),
    policy(name, [{ kind: "HTTPRoute", name }], { authentication }),
  ];
  const first = open.engine.apply(
    [
      gatewayClass,
      gateway("edge", listeners),
      ...service("echo", { address: "127.0.0.1", port: 1 }),
      policy("client", [{ kind: "Gateway", name: "edge", sectionName: "https" }], { mtls: { client } }),
      policy("everywhere", [{ kind: "Gateway", name: "edge" }], {
        denylist: { entries: [{ cidr: "203.0.113.0/24" }] },
      }),
      ...orders("orders", "/orders"),
      ...orders("crm", "/crm"),
      policy("broken", [{ kind: "HTTPRoute", name: "crm" }], { rateLimit: { limits: [{ name: "none" }] } }),
    ],
    0,
  );
  const ask = (url: string): unknown => {
    const target = targetOf(url);
    if (target === undefined) throw new Error(url);
    const { status, policy: by } = simulate(open, {
      method: "GET",
      headers: [],
      from: "192.0.2.1",
      atMs: 0,
      ...target,
    });
    return [status, by];
  };
  return { open, first, ask };
}

test("the refusal, the route and its policies name the policy of the listener that closes it, until it is mended", () => {
  const { open, first, ask } = worldOf({ apiKey: {} });
  expect([ask("https://a.test/orders"), ask("http://a.test/orders")]).toEqual([
    [503, "shop/client#mtls"],
    [401, "shop/orders#authentication"],
  ]);
  const found = messages(first, "Accepted");
  for (const name of ["orders", "everywhere"])
    expect([name, found[`ApiPolicy/${name}`]]).toEqual([name, expect.stringContaining(missing)]);
  expect(found["ApiPolicy/client"]).not.toContain("answered 503");
  expect(messages(first, "gatewarden.io/ApiPolicyAffected")["HTTPRoute/orders"]).toBe(
    `an ApiPolicy holds here; ${missing}`,
  );

  const mended = open.engine.apply(
    [put("ConfigMap", "partners", { data: { "ca.crt": createAuthority("partners").certificate } })],
    0,
  );
  expect(ask("https://a.test/orders")).toEqual([401, "shop/orders#authentication"]);
  expect(messages(mended, "Accepted")).toMatchObject({
    "ApiPolicy/orders": "the policy is valid and attached",
    "ApiPolicy/everywhere": "the policy is valid and attached",
  });
  expect(messages(mended, "gatewarden.io/ApiPolicyAffected")["HTTPRoute/orders"]).toBe("an ApiPolicy holds here");
});

test("what is broken at one route is no news for the Gateway's policies", () => {
  const found = messages(worldOf({ apiKey: {} }).first, "Accepted");
  const text = /listener http are answered 503 where shop\/broken#rateLimit holds/;
  expect(found["ApiPolicy/crm"]).toMatch(text);
  for (const name of ["everywhere", "orders", "broken"])
    expect([name, found[`ApiPolicy/${name}`]]).not.toEqual([name, expect.stringMatching(text)]);
});

test("what a listener asks for is not guessed while its policy is broken", () => {
  const message = messages(worldOf({ clientCertificate }).first, "Accepted")["ApiPolicy/orders"];
  expect(message).toContain("by listener http, which asks for no client certificate");
  expect(message).toContain(missing);
  expect(message).not.toContain("by listener https, which asks");
});
