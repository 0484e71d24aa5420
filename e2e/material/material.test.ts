import { createPublicKey, verify, type JsonWebKey } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { afterEach, describe, expect, it } from "@jest/globals";
import { createAuthority, issue } from "../cluster/pki.ts";
import { send } from "../client/http1.ts";
import { createRevocationList } from "./crl.ts";
import { type IssuerServer, startIssuer } from "./issuer.ts";
import { type Algorithm, claimsFor, createSigner, keySet } from "./jwt.ts";

describe("tokens", () => {
  it.each<Algorithm>(["RS256", "ES256", "EdDSA"])("verify with the published key: %s", (algorithm) => {
    const signer = createSigner(algorithm);
    const { keys } = JSON.parse(keySet(signer)) as { readonly keys: readonly [JsonWebKey] };
    expect(keys[0]).not.toHaveProperty("d");
    const token = signer.token(claimsFor("https://sso.test", "shop", { dept: "sales" }));
    const [head = "", payload = "", signature = ""] = token.split(".");
    const key = createPublicKey({ key: keys[0], format: "jwk" });
    const digest = algorithm === "EdDSA" ? null : "sha256";
    const bytes = Buffer.from(`${head}.${payload}`);
    expect(verify(digest, bytes, { key, dsaEncoding: "ieee-p1363" }, Buffer.from(signature, "base64url"))).toBe(true);
    expect(JSON.parse(Buffer.from(payload, "base64url").toString())).toMatchObject({ aud: "shop", dept: "sales" });
  });
});

describe("a revocation list", () => {
  const directory = mkdtempSync(join(tmpdir(), "gatewarden-crl-"));
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it("makes openssl refuse the revoked certificate and no other", () => {
    const authority = createAuthority("partners");
    const [good, bad] = [issue(authority, { commonName: "good" }), issue(authority, { commonName: "bad" })];
    const write = (name: string, text: string): string => {
      writeFileSync(join(directory, name), text);
      return join(directory, name);
    };
    const list = write("ca.crl", createRevocationList(authority, [bad.certificate]));
    const trust = ["-CAfile", write("ca.crt", authority.certificate), "-CRLfile", list, "-crl_check"];
    const check = (certificate: string) =>
      spawnSync("openssl", ["verify", ...trust, write("leaf.crt", certificate)], { encoding: "utf8" });
    expect(check(good.certificate).stdout).toContain("OK");
    expect(check(bad.certificate).stderr).toContain("certificate revoked");
  });
});

describe("an issuer's server", () => {
  let server: IssuerServer | undefined;
  afterEach(() => server?.stop());

  it("serves discovery and keys, answers 304 to a known tag, fails when told", async () => {
    const authority = createAuthority("test");
    server = await startIssuer({ authority, address: "127.0.0.1", jwks: '{"keys":[]}' });
    const tls = { serverName: "sso.test" };
    const target = { address: server.address, port: server.port, tls };
    const discovery = await send(target, { path: "/.well-known/openid-configuration", host: "x" });
    expect(discovery.json()).toEqual({ issuer: server.issuer, jwks_uri: server.jwksUri });
    const keys = await send(target, { path: "/keys", host: "x" });
    const tag = keys.header("etag") ?? "";
    expect((await send(target, { path: "/keys", host: "x", headers: { "if-none-match": tag } })).status).toBe(304);
    server.fail(500);
    expect((await send(target, { path: "/keys", host: "x" })).status).toBe(500);
    expect(server.asked()).toHaveLength(4);
  });
});
