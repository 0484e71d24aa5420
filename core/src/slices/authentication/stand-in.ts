/** A consumer in place of a credential (`--as`): the request is to carry a valid one, whichever the policy takes. */
import type { Caller, Evaluating, Finding } from "../../simulate/contract.ts";
import { hasIdentity } from "../../simulate/identity.ts";
import type { Consumer } from "../../slice.ts";
import type { Model } from "./model.ts";
import { deny, pass, type Passing, suspended } from "./passed.ts";
import { placesOfAll } from "./place.ts";

/** The first method, in their order, by which the consumer can be told. */
export function standIn(model: Model, { call, consumers, route }: Evaluating, as: string): Finding {
  const [namespace = "", name = ""] = as.split("/");
  const consumer = consumers(namespace).find((one) => one.name === name);
  if (consumer === undefined) return deny(model, 401, "GW-AUTHN-002", `there is no ApiConsumer ${as}`);
  const foreign = namespace !== model.namespace;
  const token = foreign
    ? undefined
    : consumer.tokens.find(({ issuer }) => model.issuers.some((one) => one.issuer === issuer));
  const issuer = model.issuers.find((one) => one.issuer === token?.issuer);
  const found = (method: NonNullable<Caller["method"]>, more: Partial<Passing> = {}): Finding =>
    pass(model, call, {
      caller: { method, consumer: as, ...(token === undefined || method !== "jwt" ? {} : { claims: claimsOf(token) }) },
      reason: `a valid credential of consumer ${as} (${method})`,
      hidden: placesOfAll(model),
      consumerHeader: undefined,
      ...more,
    });
  if (token !== undefined && issuer !== undefined && model.recognises.tokens)
    return consumer.suspended ? suspended(model, as) : found("jwt", { consumerHeader: issuer.consumerHeader });
  const { apiKey, basic, identities } = model;
  if (apiKey !== undefined && consumer.liveKeys.length > 0 && !consumer.suspended) {
    if (apiKey.clients === undefined ? !foreign : apiKey.clients.includes(as))
      return found("apiKey", { consumerHeader: apiKey.consumerHeader });
    if (basic === undefined && identities === undefined && apiKey.clients !== undefined && apiKey.clients.length > 0)
      return deny(model, 403, "GW-AUTHN-003", `the policy does not select consumer ${as}`);
  }
  if (!foreign && basic?.users?.split("\n").some((line) => line.startsWith(`${name}:`)) === true)
    return found("basic", { consumerHeader: basic.consumerHeader });
  if (!foreign && certifies(consumer, model) && route.clientCertificates !== "Off")
    return consumer.suspended
      ? suspended(model, as)
      : found("clientCertificate", { consumerHeader: model.certificateHeader });
  const why = consumer.suspended ? "is suspended" : "has no live credential that this policy takes";
  return deny(model, 401, "GW-AUTHN-002", `consumer ${as} ${why}`);
}

function certifies({ identities }: Consumer, model: Model): boolean {
  return (
    model.recognises.certificates &&
    identities.some(({ type, san, value }) => {
      const certificate = {
        uris: san === "URI" ? [value] : [],
        dns: san === "DNS" ? [value] : [],
        emails: san === "Email" ? [value] : [],
      };
      return type === "Exact" && (model.identities ?? []).some((one) => hasIdentity(certificate, one));
    })
  );
}

function claimsOf({ issuer, claim, value }: Consumer["tokens"][number]): NonNullable<Caller["claims"]> {
  const nested = claim.reduceRight<NonNullable<Caller["claims"]> | string>(
    (inner, segment) => ({ [segment]: inner }),
    value,
  );
  return { iss: issuer, ...(typeof nested === "string" ? {} : nested) };
}
