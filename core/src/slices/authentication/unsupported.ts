/** Client certificates by a listener that asks for none: the other methods hold there; where there is none, nobody can get in, and the route closes. */
import type { Problem } from "../../problems.ts";
import type { RouteContext } from "../../slice.ts";
import type { Model } from "./model.ts";

const path = "spec.authentication.clientCertificate";

export function unsupported(
  { identities, issuers, apiKey, basic }: Model,
  { clientCertificates, listener, tls }: RouteContext,
): readonly Problem[] {
  if (identities === undefined || clientCertificates !== "Off") return [];
  const reason = "UnsupportedForTarget";
  if (issuers.length > 0 || apiKey !== undefined || basic !== undefined) {
    const message = `listener ${listener} asks for no client certificate: there the other methods alone count`;
    return [{ reason, path, message, severity: "warning" }];
  }
  return [
    {
      reason,
      path,
      message: `nobody can authenticate by listener ${listener}, which asks for no client certificate`,
      fix: tls
        ? "set mtls.client on the listener or Gateway"
        : "attach the route to HTTPS listeners with mtls.client only, or name another method beside",
      perListener: true,
    },
  ];
}
