/** The client's certificate at one request, and whether the service can be called at all. The handshake is behind it already. */
import type { Deny, Evaluate } from "../../simulate/contract.ts";
import { hasIdentity } from "../../simulate/identity.ts";
import type { Model } from "./model.ts";

export const evaluate: Evaluate<Model> = {
  certificate({ client }, { call }) {
    if (client === undefined || client.mode === "Off") return undefined;
    const { certificate } = call;
    const { source, mode, identities, further } = client;
    const deny = (policy: string, reason: string): Deny => ({
      result: "Deny",
      status: 403,
      code: "GW-MTLS-001",
      policy,
      reason,
    });
    const lists = [...(identities.length === 0 ? [] : [{ policy: source.text, identities }]), ...further];
    if (certificate === undefined) {
      if (mode === "Optional") return { result: "Pass", reason: "no client certificate, and none is required" };
      const [first] = lists
        .map(({ policy }) => policy)
        .concat(identities.length === 0 ? source.text : [])
        .sort();
      return deny(first ?? source.text, "no client certificate");
    }
    const [refusing] = lists
      .filter(({ identities: some }) => !some.some((one) => hasIdentity(certificate, one)))
      .toSorted((a, b) => (a.policy < b.policy ? -1 : a.policy > b.policy ? 1 : 0));
    if (refusing !== undefined) return deny(refusing.policy, "the client certificate carries none of the identities");
    return { result: "Pass", reason: "the client certificate is one of those that are accepted" };
  },
  refusal({ backend }) {
    if (backend === undefined || backend.mode === "Off" || backend.certificate === undefined) return undefined;
    if (backend.certificate.pair !== undefined) return undefined;
    const reason = "the proxy's certificate for the service is not issued yet";
    return { result: "Deny", status: 503, code: "GW-MTLS-002", policy: backend.source.text, reason };
  },
};
