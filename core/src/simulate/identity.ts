/** Whether a client certificate carries an identity, as envoy/san.ts has Envoy ask it. */
import type { Identity } from "../schema/identity.ts";
import type { PresentedCertificate } from "./contract.ts";
import { fits } from "./expression.ts";

export function hasIdentity({ uris, dns, emails }: PresentedCertificate, { type, san, value }: Identity): boolean {
  const names = { URI: uris, DNS: dns, Email: emails }[san];
  return names.some((name) => {
    switch (type) {
      case "Exact":
        return name === value;
      case "Prefix":
        return name.startsWith(value);
      case "Suffix":
        return name.endsWith(value);
      case "Regex":
        return fits(value, name);
    }
  });
}
