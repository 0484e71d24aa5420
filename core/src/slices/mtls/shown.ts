/** The effective section for people. Of certificates and CAs only whether there are any. */
import type { JsonValue } from "../../world.ts";
import type { Model } from "./model.ts";

export function shown({ client, backend }: Model): JsonValue {
  return {
    ...(client === undefined
      ? {}
      : {
          client: {
            mode: client.mode,
            ca: client.trustedCA === undefined ? "the Gateway's" : client.source.text,
            revocation: client.crl !== undefined,
            identities: client.identities,
            ...(client.further.length === 0
              ? {}
              : { further: client.further.map(({ policy, identities }) => ({ policy, identities })) }),
          },
        }),
    ...(backend === undefined
      ? {}
      : {
          backend:
            backend.mode === "Off"
              ? { mode: "Off" }
              : {
                  mode: backend.mode,
                  ca: backend.trustedCA === undefined ? "the system's" : backend.source.text,
                  sans: backend.sans.length === 0 ? ["the Service's name"] : backend.sans,
                  ...(backend.certificate === undefined
                    ? {}
                    : { certificateIssued: backend.certificate.pair !== undefined }),
                },
        }),
  };
}
