import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { connect, createServer } from "node:tls";
import { describe, expect, it } from "@jest/globals";
import { createAuthority, issue } from "./pki.ts";

describe("certificates for tests", () => {
  const authority = createAuthority("root");

  it("carry the names that were asked for and verify against their authority", () => {
    const leaf = new X509Certificate(
      issue(authority, {
        commonName: "leaf",
        organizations: ["one", "two"],
        dnsNames: ["a.example", "*.b.example"],
        addresses: ["127.0.0.1", "2001:db8::7"],
        uris: ["spiffe://cluster.local/ns/a/sa/b"],
      }).certificate,
    );
    expect(leaf.verify(new X509Certificate(authority.certificate).publicKey)).toBe(true);
    expect(leaf.verify(new X509Certificate(createAuthority("root").certificate).publicKey)).toBe(false);
    expect(leaf.subject).toBe("O=one\nO=two\nCN=leaf");
    expect(leaf.subjectAltName).toBe(
      "DNS:a.example, DNS:*.b.example, URI:spiffe://cluster.local/ns/a/sa/b, IP Address:127.0.0.1, IP Address:2001:DB8:0:0:0:0:0:7",
    );
    expect(leaf.ca).toBe(false);
    expect(new X509Certificate(authority.certificate).ca).toBe(true);
  });

  it("are valid in the time that was asked for, on both sides of 2050", () => {
    const notBefore = new Date("2001-02-03T04:05:06Z");
    const notAfter = new Date("2051-02-03T04:05:06Z");
    const leaf = new X509Certificate(issue(authority, { commonName: "old", notBefore, notAfter }).certificate);
    expect(leaf.validFromDate).toEqual(notBefore);
    expect(leaf.validToDate).toEqual(notAfter);
  });

  it("are read by OpenSSL's strict verifier", () => {
    const leaf = issue(authority, { commonName: "leaf", dnsNames: ["a.example"], usages: ["server"] });
    const verify = (purpose: string): string =>
      execFileSync(
        "sh",
        [
          "-c",
          'printf %s "$CA" >"$D/ca"; printf %s "$LEAF" | openssl verify -x509_strict -purpose "$P" -CAfile "$D/ca"; rm -r "$D"',
        ],
        {
          encoding: "utf8",
          stdio: "pipe",
          env: {
            ...process.env,
            CA: authority.certificate,
            LEAF: leaf.certificate,
            P: purpose,
            D: execFileSync("mktemp", ["-d"], { encoding: "utf8" }).trim(),
          },
        },
      );
    expect(verify("sslserver")).toContain("OK");
  });

  it("make a TLS connection with both sides known", async () => {
    const server = issue(authority, { commonName: "server", addresses: ["127.0.0.1"], usages: ["server"] });
    const client = issue(authority, { commonName: "client", uris: ["spiffe://x/y"], usages: ["client"] });
    const ca = authority.certificate;
    const listener = createServer(
      { ca, cert: server.certificate, key: server.privateKey, requestCert: true },
      (socket) => {
        socket.end(socket.getPeerCertificate().subjectaltname ?? "none");
      },
    ).listen(0, "127.0.0.1");
    await once(listener, "listening");
    const bound = listener.address();
    const port = bound !== null && typeof bound === "object" ? bound.port : 0;
    const socket = connect({ port, host: "127.0.0.1", ca, cert: client.certificate, key: client.privateKey });
    const [said] = (await once(socket, "data")) as [Buffer];
    expect(said.toString()).toBe("URI:spiffe://x/y");
    socket.destroy();
    listener.close();
  });
});
