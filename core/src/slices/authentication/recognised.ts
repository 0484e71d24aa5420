/** Whose token or certificate it is, as envoy/recognise.ts has Envoy look it up: suspended consumers first, then the older. */
import { compareText } from "../../kinds/meta.ts";
import type { PresentedCertificate } from "../../simulate/contract.ts";
import { hasIdentity } from "../../simulate/identity.ts";
import type { Consumer } from "../../slice.ts";
import type { JsonObject, JsonValue } from "../../world.ts";

export interface Recognised {
  readonly id: string; // namespace/name
  readonly suspended: boolean;
}

export const recognisedBy = {
  token(consumers: readonly Consumer[], claims: JsonObject): Recognised | undefined {
    return first(consumers, ({ tokens }) =>
      tokens.some(
        ({ issuer, claim, value }) => claims["iss"] === issuer && plainText(valueAt(claims, claim)) === value,
      ),
    );
  },
  certificate(consumers: readonly Consumer[], certificate: PresentedCertificate): Recognised | undefined {
    return first(consumers, ({ identities }) => identities.some((one) => hasIdentity(certificate, one)));
  },
  /** As a header carries it: texts, numbers and booleans as they are, the rest as base64url of its JSON. */
  claimText(claims: JsonObject, path: readonly string[]): string | undefined {
    const value = valueAt(claims, path);
    if (value === undefined || value === null) return undefined;
    if (typeof value === "object") return Buffer.from(JSON.stringify(value)).toString("base64url");
    return String(value);
  },
} as const;

function first(consumers: readonly Consumer[], fits: (one: Consumer) => boolean): Recognised | undefined {
  const [found] = consumers
    .filter(fits)
    .toSorted((a, b) => Number(b.suspended) - Number(a.suspended) || compareText(a.seniority, b.seniority));
  return found === undefined ? undefined : { id: `${found.namespace}/${found.name}`, suspended: found.suspended };
}

export function valueAt(claims: JsonObject, path: readonly string[]): JsonValue | undefined {
  return path.reduce<JsonValue | undefined>(
    (value, segment) =>
      typeof value === "object" && value !== null && !Array.isArray(value) && Object.hasOwn(value, segment)
        ? (value as JsonObject)[segment]
        : undefined,
    claims,
  );
}

/** Whole numbers and booleans as JSON writes them. */
function plainText(value: JsonValue | undefined): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "boolean" || (typeof value === "number" && Number.isSafeInteger(value))) return String(value);
  return undefined;
}
