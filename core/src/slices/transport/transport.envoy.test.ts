/** The Certificate that is asked for, whose turn it is to make one, and TLS versions in a real Envoy. */
import { afterEach, describe, expect, it } from "@jest/globals";
import { send } from "../../../../e2e/client/http1.ts";
import { createAuthority, issue } from "../../../../e2e/cluster/pki.ts";
import { type Chain, startChain, toUpstream } from "../../../test/chain.ts";
import { atOf, listenerOf, lookupOf, sourceOf } from "../../../test/section.ts";
import type { Level, ListenerContext, ListenerPiece } from "../../slice.ts";
import type { JsonObject } from "../../world.ts";
import { schema, type Spec } from "./schema.ts";
import { transport } from "./slice.ts";

const issuerRef = { kind: "ClusterIssuer", name: "letsencrypt" } as const;
const base = listenerOf();

let chain: Chain | undefined;
afterEach(async () => {
  await chain?.stop();
  chain = undefined;
});

function pieceOf(spec: Spec, context: ListenerContext = base, level: Level = "Gateway"): ListenerPiece {
  const at = atOf(sourceOf("transport", level, "edge", "infra"));
  const resolved = transport.resolve(schema().parse(spec), at, lookupOf());
  if (!resolved.ok) throw new Error(resolved.problems[0].message);
  return transport.listener?.(resolved.model, context) ?? {};
}

function withListener(listener: Partial<ListenerContext["listener"]>): ListenerContext {
  return { ...base, listener: { ...base.listener, ...listener } };
}

describe("the certificate", () => {
  it("is a whole Certificate for the listener's Secret, with documented defaults", () => {
    const [wanted] = pieceOf({ certificate: { issuerRef } }).certificates ?? [];
    expect(wanted?.name).toMatch(/^shop-tls-[0-9a-f]{8}$/);
    expect(wanted?.object).toEqual({
      apiVersion: "cert-manager.io/v1",
      kind: "Certificate",
      metadata: {
        name: wanted?.name,
        namespace: "infra",
        labels: { "app.kubernetes.io/managed-by": "gatewarden" },
        ownerReferences: [
          {
            apiVersion: "gatewarden.io/v1alpha1",
            kind: "ApiPolicy",
            name: "edge",
            uid: "uid-edge",
            controller: true,
            blockOwnerDeletion: false,
          },
        ],
      },
      spec: {
        secretName: "shop-tls",
        dnsNames: ["shop.test"],
        usages: ["digital signature", "key encipherment", "server auth"],
        duration: "2160h",
        renewBefore: "720h",
        privateKey: { algorithm: "ECDSA", size: 256, rotationPolicy: "Always" },
        issuerRef: { group: "cert-manager.io", ...issuerRef },
      },
    });
  });

  it("is another Certificate for another issuer or key, and the same one for another duration", () => {
    const nameOf = (certificate: NonNullable<Spec["certificate"]>) => pieceOf({ certificate }).certificates?.[0]?.name;
    const name = nameOf({ issuerRef });
    expect(nameOf({ issuerRef: { ...issuerRef, name: "other" } })).not.toBe(name);
    expect(nameOf({ issuerRef, privateKey: { algorithm: "RSA" } })).not.toBe(name);
    expect(nameOf({ issuerRef, duration: "24h" })).toBe(name);
  });

  it.each([
    ["24h", undefined, "8h"],
    ["1h", undefined, "1200s"],
    ["4320h", undefined, "720h"],
    ["24h", "1h", "1h"],
  ])("of %s with renewBefore %s is renewed %s before its end", (duration, renewBefore, expected) => {
    const certificate = { issuerRef, duration, ...(renewBefore === undefined ? {} : { renewBefore }) };
    const spec = pieceOf({ certificate }).certificates?.[0]?.object?.spec as JsonObject;
    expect(spec["renewBefore"]).toBe(expected);
  });

  it("carries the names of all listeners that share the Secret", () => {
    const context = { ...base, certificateHostnames: ["b.test", "shop.test", "*.a.test"] };
    const spec = pieceOf({ certificate: { issuerRef } }, context).certificates?.[0]?.object?.spec as JsonObject;
    expect(spec["dnsNames"]).toEqual(["*.a.test", "b.test", "shop.test"]);
  });

  it.each<readonly [string, ListenerContext, string]>([
    ["no hostname", withListener({ hostname: undefined }), "Invalid"],
    ["no certificateRef", withListener({ certificateRefs: [] }), "Invalid"],
    [
      "another namespace",
      withListener({ certificateRefs: [{ kind: "Secret", namespace: "shop", name: "tls" }] }),
      "Invalid",
    ],
    [
      "cert-manager's annotation",
      { ...base, gateway: { ...base.gateway, annotations: { "cert-manager.io/cluster-issuer": "x" } } },
      "Conflicted",
    ],
    [
      "cert-manager's annotation for an Issuer",
      { ...base, gateway: { ...base.gateway, annotations: { "cert-manager.io/issuer": "x" } } },
      "Conflicted",
    ],
    [
      "somebody else's Certificate",
      { ...base, foreignCertificates: [{ name: "by-hand", secretName: "shop-tls" }] },
      "Conflicted",
    ],
  ])("is not made with %s", (_, context, reason) => {
    const piece = pieceOf({ certificate: { issuerRef } }, context);
    expect(piece.certificates).toBeUndefined();
    expect(piece.problems).toMatchObject([{ reason, path: "spec.transport.certificate" }]);
  });

  it("is nothing for an HTTP listener of a Gateway, and a mistake where that listener is the target", () => {
    const http = withListener({ protocol: "HTTP" });
    expect(pieceOf({ certificate: { issuerRef } }, http)).toEqual({});
    const problems = pieceOf({ minTLSVersion: "1.3" }, http, "Listener").problems;
    expect(problems).toMatchObject([{ reason: "UnsupportedForTarget" }]);
  });
});

it("an older TLS version than written is refused", async () => {
  const authority = createAuthority("CA");
  const pair = issue(authority, { commonName: "shop.test", dnsNames: ["shop.test"] });
  const certificate = {
    certificate_chain: { inline_string: pair.certificate },
    private_key: { inline_string: pair.privateKey },
  };
  chain = await startChain({
    routes: [{ match: { prefix: "/" }, name: "all", route: toUpstream }],
    transportSocket: {
      name: "tls",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context: { tls_certificates: [certificate], ...pieceOf({ minTLSVersion: "1.3" }).tls?.common },
      },
    },
  });
  const tls = { serverName: "shop.test", authority: authority.certificate };
  const call = (maxVersion: "TLSv1.2" | "TLSv1.3") =>
    send({ address: "127.0.0.1", port: chain?.port ?? 0, tls: { ...tls, maxVersion } }, { host: "shop.test" });
  expect((await call("TLSv1.3")).status).toBe(200);
  await expect(call("TLSv1.2")).rejects.toThrow();
});
