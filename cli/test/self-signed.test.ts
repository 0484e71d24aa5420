import { X509Certificate } from "node:crypto";
import { connect, createServer, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import { expect, test } from "@jest/globals";
import { selfSigned } from "../src/offline/self-signed.ts";

test("the certificate of a run is one that OpenSSL takes, for its name only", async () => {
  const { certPem, keyPem } = selfSigned("gatewarden.gatewarden-system.svc", Date.now());
  const parsed = new X509Certificate(certPem);
  expect(parsed.subjectAltName).toBe("DNS:gatewarden.gatewarden-system.svc");
  expect(parsed.verify(parsed.publicKey)).toBe(true);

  const server = createServer({ cert: certPem, key: keyPem }, (socket) => socket.end("hello"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const greet = (servername: string): Promise<string> =>
    new Promise((resolve) => {
      const socket: TLSSocket = connect({ host: "127.0.0.1", port, servername, ca: certPem }, () => undefined);
      socket.on("data", (data) => resolve(String(data)));
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
    });
  expect(await greet("gatewarden.gatewarden-system.svc")).toBe("hello");
  expect(await greet("other.test")).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
  await new Promise((resolve) => server.close(resolve));
});
