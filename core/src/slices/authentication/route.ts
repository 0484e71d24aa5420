/**
 * From the model to one Envoy route's piece. Where more than one credential could come, the route is split by what the request carries:
 * the first branch whose credential is present decides, good or bad; the last refuses, or lets pass where credentials are optional.
 */
import type { Branch, ExtensionName, Refusal, RouteContext, RoutePiece, SharedEntry } from "../../slice.ts";
import { denyWhere } from "../../envoy/rbac.ts";
import type { Identity } from "../../schema/identity.ts";
import { keyPartOf } from "../../translate/chain.ts";
import type { JsonObject } from "../../world.ts";
import { auditIdentities, certificatePresent, onlyIdentities } from "./certificate.ts";
import { challengeOf } from "./challenge.ts";
import { apiKeyRoute, basicRoute, choose, consumersOf, onlyNamespace } from "./consumers.ts";
import { identityPiece, unfitClaims, type Verified } from "./identity.ts";
import { CLAIMS_AT, requirement } from "./jwt.ts";
import { recogniseCertificate, recogniseToken } from "./recognise.ts";
import type { ApiKey, Basic, Issuer, Model } from "./model.ts";
import { BASIC, distinctPlaces, firstCopy, type Place, placesOfAll, present, samePlace, several } from "./place.ts";

type BranchPiece = Branch["piece"];

/** One way to authenticate, with the credential that chooses it. */
interface Attempt {
  readonly match: Branch["match"];
  /** The credential must be seen to be there: the filter alone would take its absence, or more than one copy, for something else. */
  readonly split: boolean;
  readonly piece: BranchPiece;
}

export function routePiece(model: Model, around: RouteContext): RoutePiece {
  const context = { ...around, source: { ...around.source, text: model.policy } };
  if (context.audit) return auditPiece(model, context);
  if (model.mode === "Public") return { metadata: { authentication: context.source.text } };
  if (model.mode === "Undecided")
    return { metadata: { authentication: context.source.text }, refuse: undecided(model) };
  const challenge = challengeOf(model, realmOf(context), context.clientCertificates !== "Off");
  const metadata = { authentication: context.source.text, challenge, ...rolesOf(model.issuers) };
  const attempts = attemptsOf(model, context);
  const gateway = distinctEntries(attempts.flatMap(({ piece }) => piece.gateway ?? []));
  const [only] = attempts;
  if (only !== undefined && attempts.length === 1 && model.mode === "Required" && !only.split) {
    return { ...only.piece, metadata: { ...metadata, ...only.piece.metadata }, gateway };
  }
  const branches = attempts.map(({ match, piece }) => ({ match, piece }));
  return { metadata, gateway, branches: [...branches, ...lastBranches(model, context, challenge)] };
}

/** Only client certificates can be looked at without refusing (`Slice.audit`). */
function auditPiece({ mode, identities }: Model, { source, clientCertificates }: RouteContext): RoutePiece {
  if (identities === undefined || clientCertificates === "Off") return {};
  return { slots: { authn: auditIdentities(identities, source.text, mode === "Optional") } };
}

function attemptsOf(model: Model, context: RouteContext): readonly Attempt[] {
  const places = placesOfAll(model);
  const others = (decides: Place, forward: boolean): readonly Place[] =>
    forward ? places.filter((place) => !sameCarrier(place, decides)) : places;
  const { apiKey, basic, identities, dropped } = model;
  return [
    ...(dropped?.tokens ?? []).map((place) => droppedAttempt(present(place), context)),
    ...distinctPlaces(model.issuers.flatMap((issuer) => issuer.places)).flatMap((place) => {
      const issuers = model.issuers.filter((issuer) => issuer.places.some((other) => samePlace(place, other)));
      const attempt = tokenAttempt(model, issuers, place, others, context);
      return attempt.forward ? [...copies(place, context), attempt] : [attempt];
    }),
    ...(dropped?.keys ?? []).map((place) => droppedAttempt(present(place), context)),
    ...(apiKey?.places ?? []).flatMap((place) => {
      const forward = apiKey?.forwardKey === true;
      const attempt = keyAttempt(model, apiKey, place, others(place, forward), context);
      return forward ? [...copies(place, context), attempt] : [attempt];
    }),
    ...(dropped?.basic === true ? [droppedAttempt(present(BASIC), context)] : []),
    ...(basic === undefined ? [] : [basicAttempt(model, basic, others(BASIC, false), context)]),
    ...(dropped?.certificate === true && context.clientCertificates !== "Off"
      ? [droppedAttempt(certificatePresent, context)]
      : []),
    ...(identities === undefined || context.clientCertificates === "Off"
      ? []
      : [
          {
            match: certificatePresent,
            split: context.clientCertificates !== "Strict",
            piece: withIdentity(certificatePiece(model, identities, context.source.text), { hidden: places }),
          },
        ]),
  ];
}

/** Whether a token is forwarded is said per issuer, and the issuer is only known from the token: it is, where all of the place say so. */
function tokenAttempt(
  model: Model,
  issuers: readonly Issuer[],
  place: Place,
  others: (decides: Place, forward: boolean) => readonly Place[],
  { source }: RouteContext,
): Attempt & { readonly forward: boolean } {
  const { route, shared } = requirement(issuers, [place]);
  const forward = issuers.every(({ forwardToken }) => forwardToken);
  const claims = issuers.flatMap(({ issuer, claims: told }) => told.map((one) => ({ ...one, issuer })));
  const { piece: recognition, rules: recognised } = recogniseToken(model, issuers, source.text);
  const unfit = unfitClaims(claims, CLAIMS_AT);
  const rules = [...recognised, ...(unfit.length === 0 ? [] : [{ policy: source.text, principals: unfit }])];
  const piece: BranchPiece = {
    ...(forward ? { select: firstCopy(place) } : {}),
    slots: {
      jwt: route,
      ...recognition.slots,
      ...(rules.length === 0 ? {} : { authn: denyWhere(rules, "authn", false) }),
    },
    gateway: [{ slot: "jwt", ...shared }, ...(recognition.gateway ?? [])],
  };
  // jwt_authn finds its prefix anywhere in a header: what is forwarded must begin with it.
  return {
    match: present(place),
    split: forward,
    forward,
    piece: withIdentity(piece, { hidden: others(place, forward), claims }),
  };
}

function certificatePiece(model: Model, identities: readonly Identity[], policy: string): BranchPiece {
  const { piece, rules } = recogniseCertificate(model, policy);
  const [first, ...others] = rules;
  const strangers = onlyIdentities(identities);
  const all = [{ policy, principals: [strangers, ...(first?.principals ?? [])] }, ...others];
  return { ...piece, slots: { ...piece.slots, authn: denyWhere(all, "authn", false) } };
}

function keyAttempt(
  model: Model,
  apiKey: ApiKey | undefined,
  place: Place,
  hidden: readonly Place[],
  context: RouteContext,
): Attempt {
  const { clients, consumerHeader } = apiKey ?? {};
  const forward = apiKey?.forwardKey === true;
  const match = present(place);
  if (clients?.length === 0) return { match, split: true, piece: { refuse: nobody(context, "API keys") } };
  const part = keyPartOf(model.namespace);
  const piece: BranchPiece = {
    select: [choose(part), ...(forward ? firstCopy(place) : [])],
    slots: {
      api_key: apiKeyRoute([place], clients),
      ...(clients === undefined ? { authn: onlyNamespace(model.namespace, context.source.text) } : {}),
    },
    gateway: [{ slot: part, ...consumersOf(model.namespace) }],
  };
  const { namespace, qualified } = model;
  const consumer = { by: "api_key", namespace, header: consumerHeader, qualified } as const;
  return { match, split: false, piece: withIdentity(piece, { hidden, consumer }) };
}

function basicAttempt(model: Model, basic: Basic, hidden: readonly Place[], context: RouteContext): Attempt {
  const match = present(BASIC);
  if (basic.users === undefined) return { match, split: true, piece: { refuse: nobody(context, "passwords") } };
  const { namespace, qualified } = model;
  const slots = { basic: basicRoute(basic.users) };
  const piece: BranchPiece = { select: [choose("basic")], slots, consumers: namespace };
  const consumer = { by: "basic", namespace, header: basic.consumerHeader, qualified } as const;
  return { match, split: false, piece: withIdentity(piece, { hidden, consumer }) };
}

/** A credential that chooses and is not taken here ({@link Model.dropped}). */
function droppedAttempt(match: Branch["match"], { source }: RouteContext): Attempt {
  const refuse: Refusal = { status: 401, code: "GW-AUTHN-002", policy: source.text, detail: OTHER_KIND };
  return { match, split: true, piece: { refuse } };
}

const OTHER_KIND = "a credential of a kind that is not accepted here";

/** Of a credential that is forwarded there may be one: the upstream must read what the filter read. */
function copies(place: Place, { source }: RouteContext): readonly Attempt[] {
  const match = several(place);
  const detail = "the credential is there more than once";
  const refuse: Refusal = { status: 401, code: "GW-AUTHN-002", policy: source.text, detail };
  return match === undefined ? [] : [{ match, split: true, piece: { refuse } }];
}

/** Without any of the credentials: refused; or let pass where they are optional, unless one of their headers holds something else. */
function lastBranches(model: Model, context: RouteContext, challenge: string): readonly Branch[] {
  const refuse: Refusal = {
    status: 401,
    code: "GW-AUTHN-001",
    policy: context.source.text,
    detail: "no credential",
    challenge,
  };
  if (model.mode === "Required") return [{ match: {}, piece: { refuse } }];
  const places = placesOfAll(model);
  const headers = new Set(places.filter((place) => place.in === "header").map(({ name }) => name));
  const unknown: Refusal = { ...refuse, code: "GW-AUTHN-002", detail: OTHER_KIND };
  return [
    ...[...headers].map((name) => ({
      match: { headers: [{ name, present_match: true }] },
      piece: { refuse: unknown },
    })),
    { match: {}, piece: withIdentity({}, { hidden: places }) },
  ];
}

function undecided({ policy }: Model): Refusal {
  const detail = "no policy says who may call this route, as the mode that one writes is forbidden, or none writes one";
  return { status: 403, code: "GW-POLICY-001", policy, detail };
}

function nobody(context: RouteContext, what: string): Refusal {
  const detail = `no consumer may call: the policy selects none with live ${what}`;
  return { status: 401, code: "GW-AUTHN-002", policy: context.source.text, detail };
}

function withIdentity(piece: BranchPiece, verified: Verified): BranchPiece {
  const { slots, ...rest } = identityPiece(verified);
  return { ...piece, ...rest, slots: { ...piece.slots, ...slots } };
}

/** Two prefixes of one header cannot be hidden apart. */
function sameCarrier(a: Place, b: Place): boolean {
  return a.in === b.in && a.name === b.name;
}

function distinctEntries(
  entries: readonly (SharedEntry & { readonly slot: ExtensionName })[],
): readonly (SharedEntry & { readonly slot: ExtensionName })[] {
  return entries.filter(
    ({ slot, key }, at) => entries.findIndex((other) => other.slot === slot && other.key === key) === at,
  );
}

/** Where authorization finds the roles in a token, by issuer. */
function rolesOf(issuers: readonly Issuer[]): Readonly<Record<string, JsonObject>> {
  const roles = issuers.flatMap(({ issuer, rolesClaim }) =>
    rolesClaim === undefined ? [] : [[issuer, rolesClaim] as const],
  );
  return roles.length === 0 ? {} : { rolesClaims: Object.fromEntries(roles) };
}

/** The policy's name. */
function realmOf({ source }: RouteContext): string {
  return source.text.slice(0, source.text.indexOf("#"));
}
