/** Section `authentication`: who is calling. The credential that is present chooses the method; a bad one is refused (api.md). */
import * as z from "zod";
import { identities } from "../../schema/identity.ts";
import { later } from "../../schema/later.ts";
import { atomicList, listMap, listSet } from "../../schema/list.ts";
import { backendRef, consumerSelector, valueRef } from "../../schema/reference.ts";
import { type Immutable, defaultsTo, oneOrMore, rule } from "../../schema/rule.ts";
import { duration, headerName, httpsUrl, identityHeader, MAX_TEXT, name, text, token } from "../../schema/text.ts";

export const DEFAULTS = {
  mode: "Required",
  algorithms: ["RS256", "ES256", "PS256", "EdDSA"],
  jwksType: "Discovery",
  jwtFrom: { headers: [{ name: "authorization", prefix: "Bearer " }] },
  apiKeyFrom: { headers: ["x-api-key"] },
  clockSkew: "30s",
  forwardToken: false,
  forwardKey: false,
} as const;

export const MAX_SOURCES = 8;
const MAX_JWT = 8;
const METHODS = ["jwt", "apiKey", "basic", "clientCertificate"] as const;

const algorithm = z.enum([
  ...["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"],
  ...["HS256", "HS384", "HS512"],
] as const);

function jwks() {
  const shape = z.strictObject({
    type: defaultsTo(z.enum(["Discovery", "URI", "Inline", "Ref"]), DEFAULTS.jwksType)
      .describe("Where the keys come from: the issuer's discovery document, a URI, this object or another object.")
      .exactOptional(),
    uri: httpsUrl().describe("With URI: where the key set is.").exactOptional(),
    inline: z.string().min(2).max(65_536).describe("With Inline: the key set as JSON.").exactOptional(),
    ref: valueRef().describe("With Ref: where the key set is kept.").exactOptional(),
    backendRef: backendRef()
      .describe("With Discovery and URI: where to fetch inside the cluster; host and SNI stay the URI's.")
      .exactOptional(),
    caRefs: atomicList(valueRef(), 8)
      .describe("With Discovery and URI: CAs that the server's certificate may come from; absent: the system's.")
      .exactOptional(),
  });
  const matching = rule(oneOrMore(shape, ["type", "uri", "inline", "ref", "backendRef", "caRefs"]), {
    cel: ["URI", "Inline", "Ref"]
      .map((type) => `has(self.${type.toLowerCase()}) == (has(self.type) && self.type == '${type}')`)
      .join(" && "),
    message: "has a field that its type does not have, or lacks it",
    fix: "write uri with type URI, inline with Inline, ref with Ref, none of them with Discovery",
    check: ({ type, uri, inline, ref }) =>
      (uri !== undefined) === (type === "URI") &&
      (inline !== undefined) === (type === "Inline") &&
      (ref !== undefined) === (type === "Ref"),
  });
  return rule(matching, {
    cel: "!(has(self.backendRef) || has(self.caRefs)) || !has(self.type) || self.type in ['Discovery', 'URI']",
    message: "fetches nothing",
    fix: "remove backendRef and caRefs, or write type Discovery or URI",
    check: ({ type = DEFAULTS.jwksType, backendRef, caRefs }) =>
      (backendRef === undefined && caRefs === undefined) || type === "Discovery" || type === "URI",
  });
}

function jwtFrom() {
  const header = z.strictObject({
    name: headerName().describe("Name of the header."),
    prefix: text(MAX_TEXT, 0).describe("What stands before the token, like `Bearer `.").exactOptional(),
  });
  return oneOrMore(
    z.strictObject({
      headers: atomicList(header, MAX_SOURCES, 0).describe("Headers that may carry the token.").exactOptional(),
      params: listSet(token("parameter"), MAX_SOURCES, 0).describe("Query parameters that may.").exactOptional(),
      cookies: listSet(token("cookie"), MAX_SOURCES, 0).describe("Cookies that may.").exactOptional(),
    }),
    ["headers", "params", "cookies"],
  );
}

function jwt() {
  const claimToHeader = z.strictObject({
    claim: text().describe(
      "Claim; `.` reaches into objects, but in names that hold `://`, which are taken as they are.",
    ),
    header: identityHeader().describe("Header that carries it to the upstream; a client's own copy is removed first."),
  });
  const shape = z.strictObject({
    name: name().describe("Name of this issuer in this policy."),
    issuer: text().describe("What `iss` must be."),
    audiences: listSet(text(), 16).describe("`aud` must hold one of these; absent: not checked.").exactOptional(),
    algorithms: defaultsTo(listSet(algorithm, 13), DEFAULTS.algorithms.join(", "))
      .describe("Signature algorithms; HS* only with keys that are secret.")
      .exactOptional(),
    jwks: jwks().describe("The issuer's keys; absent: by discovery.").exactOptional(),
    from: defaultsTo(jwtFrom(), "header authorization, prefix `Bearer `")
      .describe("Where the token is.")
      .exactOptional(),
    claimsToHeaders: listMap(claimToHeader, "header", 16)
      .describe("Claims for the upstream. Text as it is, arrays and objects as base64url JSON.")
      .exactOptional(),
    rolesClaim: atomicList(text(), 8)
      .describe("Path of the claim that holds roles; absent: tokens of this issuer carry none.")
      .exactOptional(),
    consumerHeader: identityHeader()
      .describe("Header that tells the upstream which ApiConsumer the token is (`spec.jwt` there); absent: none.")
      .exactOptional(),
    forwardToken: defaultsTo(z.boolean(), DEFAULTS.forwardToken)
      .describe("Whether the upstream sees the token.")
      .exactOptional(),
    clockSkew: defaultsTo(duration({ min: "0s", max: "10m" }), DEFAULTS.clockSkew)
      .describe("How far the issuer's clock may be off.")
      .exactOptional(),
  });
  const discoverable = rule(shape, {
    cel: "(has(self.jwks) && has(self.jwks.type) && self.jwks.type != 'Discovery') || self.issuer.startsWith('https://')",
    message: "has an issuer that cannot be discovered",
    fix: "write an https:// issuer, or say where the keys are with jwks.type URI, Inline or Ref",
    check: ({ issuer, jwks }) => (jwks?.type ?? DEFAULTS.jwksType) !== "Discovery" || issuer.startsWith("https://"),
  });
  return rule(discoverable, {
    cel:
      "!has(self.algorithms) || !self.algorithms.exists(a, a.startsWith('HS')) || " +
      "(has(self.jwks) && has(self.jwks.type) && self.jwks.type in ['Inline', 'Ref'])",
    message: "allows HS* with keys that everybody can read",
    fix: "remove HS256, HS384 and HS512, or take the key from a Secret with jwks.type Ref",
    check: ({ algorithms = [], jwks }) =>
      !algorithms.some((known) => known.startsWith("HS")) || jwks?.type === "Inline" || jwks?.type === "Ref",
  });
}

function apiKey() {
  const from = oneOrMore(
    z.strictObject({
      headers: listSet(headerName(), MAX_SOURCES, 0).describe("Headers that may carry the key.").exactOptional(),
      params: listSet(token("parameter"), MAX_SOURCES, 0).describe("Query parameters that may.").exactOptional(),
      cookies: listSet(token("cookie"), MAX_SOURCES, 0).describe("Cookies that may.").exactOptional(),
    }),
    ["headers", "params", "cookies"],
  );
  const shape = z.strictObject({
    from: defaultsTo(from, "header x-api-key").describe("Where the key is.").exactOptional(),
    consumerSelector: consumerSelector()
      .describe(
        "Which ApiConsumers may call; absent: every one of the policy's namespace. One that selects nobody refuses everybody.",
      )
      .exactOptional(),
    consumerHeader: identityHeader()
      .describe("Header that tells the upstream the consumer; absent: none.")
      .exactOptional(),
    forwardKey: defaultsTo(z.boolean(), DEFAULTS.forwardKey)
      .describe("Whether the upstream sees the key.")
      .exactOptional(),
  });
  return rule(shape, {
    cel:
      "!has(self.consumerHeader) || !has(self.from) || !has(self.from.headers) || " +
      "!self.from.headers.exists(h, h.lowerAscii() == self.consumerHeader)",
    message: "tells the consumer in the header that carries the key",
    fix: "choose another consumerHeader",
    check: ({ consumerHeader, from = DEFAULTS.apiKeyFrom }) =>
      consumerHeader === undefined || !(from.headers as readonly string[] | undefined)?.includes(consumerHeader),
  });
}

function basic() {
  return z.strictObject({
    consumerSelector: consumerSelector()
      .describe("Which ApiConsumers may call; absent: every one of the policy's namespace that has a password.")
      .exactOptional(),
    consumerHeader: identityHeader()
      .describe("Header that tells the upstream the consumer; absent: none.")
      .exactOptional(),
  });
}

function section() {
  const shape = z.strictObject({
    mode: defaultsTo(z.enum(["Required", "Optional", "Public"]), DEFAULTS.mode)
      .describe("Required: a good credential. Optional: none is fine, a bad one is refused. Public: everybody.")
      .exactOptional(),
    reason: text().describe("Why calls need no credential; needed with Public.").exactOptional(),
    forbid: listSet(z.enum(["Public", "Optional"]), 2)
      .describe("With precedence Override: modes that nearer policies may not write. Alone it chooses no method.")
      .exactOptional(),
    jwt: listMap(jwt(), "name", MAX_JWT).describe("Tokens of these issuers.").exactOptional(),
    apiKey: apiKey().describe("API keys of ApiConsumers.").exactOptional(),
    basic: basic().describe("Name and password of ApiConsumers.").exactOptional(),
    clientCertificate: z
      .strictObject({
        identities: identities().describe("Who may call."),
        consumerHeader: identityHeader()
          .describe(
            "Header that tells the upstream which ApiConsumer the certificate is (`spec.identities` there); absent: none.",
          )
          .exactOptional(),
      })
      .describe("Verified client certificates; needs mtls.client on the listener.")
      .exactOptional(),
  });
  const withReason = rule(oneOrMore(shape, ["mode", "reason", "forbid", ...METHODS]), {
    cel: "!has(self.mode) || self.mode != 'Public' || has(self.reason)",
    message: "opens its targets without a reason",
    fix: "write reason beside mode: Public",
    check: ({ mode, reason }) => mode !== "Public" || reason !== undefined,
  });
  const unambiguous = rule(withReason, {
    cel: `!has(self.mode) || self.mode != 'Public' || !(${METHODS.map((method) => `has(self.${method})`).join(" || ")})`,
    message: "is Public and names methods",
    fix: "remove the methods, or write mode Required or Optional",
    check: (spec) => spec.mode !== "Public" || METHODS.every((method) => spec[method] === undefined),
  });
  const consistent = rule(unambiguous, {
    cel: "!has(self.forbid) || !has(self.mode) || self.mode == 'Required' || !(self.mode in self.forbid)",
    message: "has a mode that it forbids",
    fix: "write another mode, or remove it from forbid",
    check: ({ forbid = [], mode }) => mode === undefined || mode === "Required" || !forbid.includes(mode),
  });
  // Without CEL: the server cannot tell `{mode: Required}` from one with a method that it does not know, which must reach the status.
  const decidable = rule(consistent, {
    message: "requires a credential and names no method",
    fix: `write at least one of ${METHODS.join(", ")}, or mode: Public with a reason`,
    check: (spec) =>
      spec.mode === "Public" ||
      METHODS.some((method) => spec[method] !== undefined) ||
      (spec.forbid !== undefined && spec.mode === undefined && spec.reason === undefined),
  });
  return rule(decidable, {
    message: `has more than ${MAX_SOURCES} places to look for credentials`,
    fix: "use fewer headers, parameters and cookies",
    check: (spec) => sourceCount(spec) <= MAX_SOURCES,
  });
}

interface Sources {
  readonly headers?: readonly (string | { readonly name: string; readonly prefix?: string })[];
  readonly params?: readonly string[];
  readonly cookies?: readonly string[];
}

/** Distinct places; several issuers in one header are one. */
function sourceCount(spec: {
  readonly jwt?: readonly { readonly from?: Sources }[];
  readonly apiKey?: { readonly from?: Sources };
  readonly basic?: object;
  readonly clientCertificate?: object;
}): number {
  const places = new Set<string>();
  const add = ({ headers = [], params = [], cookies = [] }: Sources): void => {
    for (const header of headers) {
      places.add(typeof header === "string" ? `header ${header} ` : `header ${header.name} ${header.prefix ?? ""}`);
    }
    for (const param of params) places.add(`param ${param}`);
    for (const cookie of cookies) places.add(`cookie ${cookie}`);
  };
  for (const provider of spec.jwt ?? []) add(provider.from ?? DEFAULTS.jwtFrom);
  if (spec.apiKey !== undefined) add(spec.apiKey.from ?? DEFAULTS.apiKeyFrom);
  if (spec.basic !== undefined) places.add("basic");
  if (spec.clientCertificate !== undefined) places.add("certificate");
  return places.size;
}

export const schema = later(section);
export type Spec = Immutable<z.output<ReturnType<typeof schema>>>;
export type JwtSpec = NonNullable<Spec["jwt"]>[number];
