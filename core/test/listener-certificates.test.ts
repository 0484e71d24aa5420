/** What a listener shows: another Secret in `certificateRefs` is another content of the same resource, and no change of the listener. */
import { expect, test } from "@jest/globals";
import { createAuthority, issue } from "../../e2e/cluster/pki.ts";
import { createEngine } from "../src/engine.ts";
import type { Change, Output } from "../src/world.ts";
import { gateway, gatewayClass, gone, OPTIONS, put } from "./objects.ts";

const authority = createAuthority("servers");
const NAME = "secret listener-tls|https-443-a_test|0";

const pem: Record<string, string> = {};
function pair(name: string, namespace = "shop"): Change {
  const { certificate, privateKey } = issue(authority, { commonName: name, dnsNames: ["a.test"] });
  pem[name] = certificate.trim();
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  return put(
    "Secret",
    name,
    { data: { "tls.crt": base64(certificate), "tls.key": base64(privateKey) } },
    { namespace },
  );
}

function edge(...certificateRefs: readonly object[]): Change {
  return gateway("edge", [
    { name: "https", port: 443, protocol: "HTTPS", hostname: "a.test", tls: { certificateRefs } },
  ]);
}

/** What was put out, and of secrets whose certificate; but for scopes. */
function told({ resources }: Output): readonly string[] {
  return resources
    .filter(({ type }) => type === "secret" || type === "listener")
    .map(({ type, name, json }) => {
      const whose = Object.keys(pem).find((one) =>
        JSON.stringify(json ?? {}).includes(JSON.stringify(pem[one]).slice(1, -1)),
      );
      return [type, name, ...(json === undefined ? ["gone"] : []), ...(whose === undefined ? [] : [whose])].join(" ");
    })
    .sort();
}

test("another Secret is another content, and one that is not there changes nothing", () => {
  const engine = createEngine(OPTIONS);
  const first = engine.apply([gatewayClass, pair("first"), pair("second"), edge({ name: "first" })], 0);
  expect(told(first)).toEqual(["listener port-443", `${NAME} first`]);
  expect(told(engine.apply([edge({ name: "second" })], 0))).toEqual([`${NAME} second`]);
  const missing = engine.apply([edge({ name: "missing" })], 0);
  expect(told(missing)).toEqual([]);
  expect(JSON.stringify(missing.statuses)).toContain("Secret shop/missing: does not exist");
  expect(told(engine.apply([pair("missing")], 0))).toEqual([`${NAME} missing`]);
  // One more is one more for the listener, and goes with its place.
  const second = NAME.replace("|0", "|1");
  expect(told(engine.apply([edge({ name: "missing" }, { name: "first" })], 0))).toEqual([
    "listener port-443",
    `${second} first`,
  ]);
  expect(told(engine.apply([edge({ name: "missing" })], 0))).toEqual(["listener port-443", `${second} gone`]);
});

test("what may not be used any more goes, also where its place stays", () => {
  const engine = createEngine(OPTIONS);
  const grant = put(
    "ReferenceGrant",
    "certs",
    {
      spec: {
        from: [{ group: "gateway.networking.k8s.io", kind: "Gateway", namespace: "shop" }],
        to: [{ group: "", kind: "Secret" }],
      },
    },
    { namespace: "certs" },
  );
  const refs = [{ name: "foreign", namespace: "certs" }, { name: "own" }];
  const second = NAME.replace("|0", "|1");
  expect(told(engine.apply([gatewayClass, grant, pair("foreign", "certs"), pair("own"), edge(...refs)], 0))).toEqual([
    "listener port-443",
    `${NAME} foreign`,
    `${second} own`,
  ]);
  expect(told(engine.apply([gone(grant)], 0))).toEqual(["listener port-443", `${NAME} gone`]);
});
