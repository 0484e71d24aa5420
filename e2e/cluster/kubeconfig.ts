/** Kubeconfig files of the test cluster. JSON is YAML, so no YAML writer is needed. */
import { writeFileSync } from "node:fs";
import type { KeyPair } from "./pki.ts";

/** Writes a kubeconfig with one cluster and one user that proves itself with a client certificate. */
export function writeKubeconfig(
  file: string,
  access: { readonly server: string; readonly authority: string; readonly user: string; readonly keyPair: KeyPair },
): void {
  const base64 = (text: string): string => Buffer.from(text, "utf8").toString("base64");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      { name: "local", cluster: { server: access.server, "certificate-authority-data": base64(access.authority) } },
    ],
    users: [
      {
        name: access.user,
        user: {
          "client-certificate-data": base64(access.keyPair.certificate),
          "client-key-data": base64(access.keyPair.privateKey),
        },
      },
    ],
    contexts: [{ name: "local", context: { cluster: "local", user: access.user } }],
    "current-context": "local",
  };
  writeFileSync(file, JSON.stringify(config, null, 1), { mode: 0o600 });
}
