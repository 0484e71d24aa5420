/**
 * One request's credentials without an Envoy: which of them decides, and whether it is good. What decides is chosen as route.ts splits the
 * routes; each method then complains as Envoy's filter does.
 */
import { claimPath, isWholeName } from "../../schema/claim.ts";
import type { Call, Deny, Evaluate, Evaluating, Finding } from "../../simulate/contract.ts";
import { hasIdentity } from "../../simulate/identity.ts";
import { isUnfit } from "./identity.ts";
import type { ApiKey, Basic, Issuer, Model } from "./model.ts";
import { BASIC, distinctPlaces, type Place, placesOfAll, samePlace } from "./place.ts";
import { deny, edits, pass, suspended } from "./passed.ts";
import { isPresent, isSeveral, keyAt, tokensAt } from "./presence.ts";
import { standIn } from "./stand-in.ts";
import { sha1Base64 } from "./sha1.ts";
import { verifyToken } from "./verify-token.ts";
import { recognisedBy } from "./recognised.ts";

export const evaluate: Evaluate<Model> = {
  authentication(model, evaluating) {
    if (model.mode === "Public")
      return { result: "Pass", reason: "mode Public: nobody is asked", policy: model.policy };
    if (model.mode === "Undecided") return undefined;
    if (evaluating.call.as !== undefined) return standIn(model, evaluating, evaluating.call.as);
    const decision = decide(model, evaluating);
    return decision.late === true ? undefined : decision.finding();
  },
  refusal(model, evaluating) {
    if (model.mode === "Undecided")
      return deny(
        model,
        403,
        "GW-POLICY-001",
        "no policy says who may call this route: its mode is forbidden, or none writes one",
      );
    if (model.mode === "Public" || evaluating.caller.method !== undefined || evaluating.call.as !== undefined)
      return undefined;
    const decision = decide(model, evaluating);
    return decision.late === true ? decision.finding() : undefined;
  },
};

interface Decision {
  /** Refused by the route itself, behind the filters. */
  readonly late?: true;
  readonly finding: () => Finding;
}

interface Attempt extends Decision {
  readonly present: boolean;
  /** Whether the route asks that it is there, also where it is the only method. */
  readonly split: boolean;
}

function decide(model: Model, evaluating: Evaluating): Decision {
  const attempts = attemptsOf(model, evaluating);
  const [only] = attempts;
  if (only !== undefined && attempts.length === 1 && model.mode === "Required" && !only.split) return only;
  return attempts.find(({ present }) => present) ?? nothingPresent(model, evaluating.call);
}

function nothingPresent(model: Model, call: Call): Decision {
  if (model.mode === "Required") return late(deny(model, 401, MISSING, "no credential"));
  const places = placesOfAll(model);
  const other = places.find((place) => place.in === "header" && call.headers.joined(place.name) !== undefined);
  if (other !== undefined)
    return late(deny(model, 401, BAD, `header ${other.name} holds a credential of a kind that is not accepted here`));
  return {
    finding: () => ({
      result: "Pass",
      reason: "no credential, and none is required",
      policy: model.policy,
      ...edits(call, places, {}),
    }),
  };
}

const MISSING = "GW-AUTHN-001";
const BAD = "GW-AUTHN-002";

function late(finding: Deny): Decision {
  return { late: true, finding: () => finding };
}

function attemptsOf(model: Model, evaluating: Evaluating): readonly Attempt[] {
  const { call, route } = evaluating;
  const { apiKey, basic, identities, dropped, issuers } = model;
  const at = (place: Place): boolean => isPresent(call, place);
  const bad = (present: boolean, reason: string): Attempt => ({
    present,
    split: true,
    ...late(deny(model, 401, BAD, reason)),
  });
  const other = "a credential of a kind that is not accepted here";
  const twice = (place: Place, forward: boolean): readonly Attempt[] =>
    forward && place.in !== "header" ? [bad(isSeveral(call, place), "the credential is there more than once")] : [];
  const certificates = route.clientCertificates !== "Off";
  const presented = call.certificate !== undefined;
  return [
    ...(dropped?.tokens ?? []).map((place) => bad(at(place), other)),
    ...distinctPlaces(issuers.flatMap(({ places }) => places)).flatMap((place): readonly Attempt[] => {
      const own = issuers.filter(({ places }) => places.some((one) => samePlace(place, one)));
      const forward = own.every(({ forwardToken }) => forwardToken);
      const finding = (): Finding => tokenFinding(model, own, place, forward, evaluating);
      return [...twice(place, forward), { present: at(place), split: forward, finding }];
    }),
    ...(dropped?.keys ?? []).map((place) => bad(at(place), other)),
    ...(apiKey?.places ?? []).flatMap((place): readonly Attempt[] => {
      if (apiKey === undefined) return [];
      const own = twice(place, apiKey.forwardKey);
      if (apiKey.clients?.length === 0)
        return [...own, bad(at(place), "no consumer may call: the policy selects none with live API keys")];
      const finding = (): Finding => keyFinding(model, apiKey, place, evaluating);
      return [...own, { present: at(place), split: false, finding }];
    }),
    ...(dropped?.basic === true ? [bad(at(BASIC), other)] : []),
    ...(basic === undefined
      ? []
      : basic.users === undefined
        ? [bad(at(BASIC), "no consumer may call: the policy selects none with live passwords")]
        : [{ present: at(BASIC), split: false, finding: () => basicFinding(model, basic, evaluating) }]),
    ...(dropped?.certificate === true && certificates ? [bad(presented, other)] : []),
    ...(identities === undefined || !certificates
      ? []
      : [
          {
            present: presented,
            split: route.clientCertificates !== "Strict",
            finding: () => certificateFinding(model, evaluating),
          },
        ]),
  ];
}

function tokenFinding(
  model: Model,
  issuers: readonly Issuer[],
  place: Place,
  forward: boolean,
  evaluating: Evaluating,
): Finding {
  const { call } = evaluating;
  // Of a token that is forwarded one copy is left, before it is read.
  const verdict = verifyToken(tokensAt(call, place, forward), issuers, call.nowMs);
  if (!verdict.ok) {
    if (verdict.why === "Missing") return deny(model, 401, MISSING, "no credential");
    if (verdict.why === "Expired") return deny(model, 401, "GW-AUTHN-004", verdict.reason);
    if (verdict.why === "NoKeys") return deny(model, 503, "GW-AUTHN-005", verdict.reason);
    return deny(model, 401, BAD, verdict.reason);
  }
  const { claims, issuer } = verdict;
  const known = model.recognises.tokens ? recognisedBy.token(evaluating.consumers(model.namespace), claims) : undefined;
  if (known?.suspended === true) return suspended(model, known.id);
  const headers = Object.fromEntries(
    issuers.flatMap((one) => one.claims.map(({ header }) => [header, undefined] as const)),
  );
  for (const { claim, header } of issuer.claims) {
    const text = recognisedBy.claimText(claims, claimPath(claim));
    if (text !== undefined && isUnfit(text))
      return deny(model, 401, BAD, `claim ${claim} holds a control character, which no header can`);
    // Those are written behind authorization (envoy/claims-script.ts).
    if (!isWholeName(claim)) headers[header] = text as undefined;
  }
  return pass(model, call, {
    caller: { method: "jwt", claims, ...(known === undefined ? {} : { consumer: known.id }) },
    reason: `a token of ${issuer.issuer}${known === undefined ? "" : ` is consumer ${known.id}`}`,
    hidden: forward ? placesOfAll(model).filter((one) => !sameCarrier(one, place)) : placesOfAll(model),
    headers,
    consumerHeader: issuer.consumerHeader,
  });
}

function keyFinding(
  model: Model,
  { clients, consumerHeader, forwardKey }: ApiKey,
  place: Place,
  { call, keyHolder }: Evaluating,
): Finding {
  const key = keyAt(call, place);
  if (key === "") return deny(model, 401, MISSING, "no API key");
  const holder = keyHolder(key, model.namespace);
  if (holder === undefined) return deny(model, 401, BAD, "no consumer has this API key now");
  if (clients !== undefined && !clients.includes(holder))
    return deny(model, 403, "GW-AUTHN-003", `the key is consumer ${holder}'s, whom the policy does not select`);
  if (clients === undefined && !holder.startsWith(`${model.namespace}/`))
    return deny(model, 401, BAD, `the key is that of a consumer of another namespace than ${model.namespace}`);
  return pass(model, call, {
    caller: { method: "apiKey", consumer: holder },
    reason: `an API key of consumer ${holder}`,
    hidden: forwardKey ? placesOfAll(model).filter((one) => !sameCarrier(one, place)) : placesOfAll(model),
    consumerHeader,
  });
}

/** As Envoy reads it: nothing but base64, with or without padding, and no bits behind the last byte. Node's own skips what does not fit. */
function strictBase64(text: string): Buffer | undefined {
  const digits = text.replace(/={1,2}$/, "");
  const bytes = Buffer.from(digits, "base64");
  return bytes.toString("base64").replace(/=+$/, "") === digits ? bytes : undefined;
}

function basicFinding(model: Model, { users = "", consumerHeader }: Basic, { call }: Evaluating): Finding {
  const [text] = call.headers.all("authorization");
  if (text === undefined) return deny(model, 401, MISSING, "no credential");
  if (!text.startsWith("Basic ")) return deny(model, 401, BAD, "header authorization holds no Basic credential");
  const decoded = strictBase64(text.slice("Basic ".length))?.toString("utf8");
  if (decoded === undefined) return deny(model, 401, BAD, "the Basic credential is not base64");
  const colon = decoded.indexOf(":");
  const name = decoded.slice(0, Math.max(0, colon));
  const line = `${name}:{SHA}${sha1Base64(decoded.slice(colon + 1))}`;
  if (colon < 0 || !users.split("\n").includes(line))
    return deny(model, 401, BAD, "the user name or password is wrong");
  const consumer = `${model.namespace}/${name}`;
  return pass(model, call, {
    caller: { method: "basic", consumer },
    reason: `the password of consumer ${consumer}`,
    hidden: placesOfAll(model),
    consumerHeader,
  });
}

function certificateFinding(model: Model, { call, consumers }: Evaluating): Finding {
  const { certificate } = call;
  const { identities = [] } = model;
  if (certificate === undefined || !identities.some((one) => hasIdentity(certificate, one)))
    return deny(model, 401, BAD, "the client certificate carries none of the identities");
  const known = model.recognises.certificates
    ? recognisedBy.certificate(consumers(model.namespace), certificate)
    : undefined;
  if (known?.suspended === true) return suspended(model, known.id);
  return pass(model, call, {
    caller: { method: "clientCertificate", ...(known === undefined ? {} : { consumer: known.id }) },
    reason:
      known === undefined
        ? "a client certificate with one of the identities"
        : `a client certificate of consumer ${known.id}`,
    hidden: placesOfAll(model),
    consumerHeader: model.certificateHeader,
  });
}

function sameCarrier(a: Place, b: Place): boolean {
  return a.in === b.in && a.name === b.name;
}
