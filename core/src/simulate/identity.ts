/** Whether a client certificate carries an identity, as envoy/san.ts has Envoy ask it. */
import type { Identity } from "../schema/identity.ts";
import type { PresentedCertificate } from "./contract.ts";
import { fits } from "./expression.ts";

export function hasIdentity({ uris, dns, emails }: PresentedCertificate, identity: Identity): boolean {
  const names = { URI: uris, DNS: dns, Email: emails }[identity.san];
  return names.some((name) => nameFits(identity, name));
}

/** Whether one name fits, whatever kind of name it is. */
export function nameFits({ type, value }: Pick<Identity, "type" | "value">, name: string): boolean {
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
}
