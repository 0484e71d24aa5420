/** The requests of the demo, in the order of the examples, and what must come back. */
import type { Answer } from "../client/answer.ts";
import { type RequestSpec, send } from "../client/http1.ts";
import type { ClientTls, Target } from "../client/target.ts";
import type { KeyPair } from "../cluster/pki.ts";
import { claimsFor, type Signer } from "../material/jwt.ts";
import type { Echo } from "../upstream/echo.ts";

export interface Call {
  /** The folder below examples/. */
  readonly example: string;
  readonly request: string;
  readonly expected: Expected;
  readonly send: () => Promise<Answer>;
}

export interface Expected {
  /** 0: no answer, because the TLS handshake failed. */
  readonly status: number;
  /** `namespace/name#section` of a refusal. */
  readonly policy?: string;
  /** Something more that must be true of the answer. */
  readonly also?: { readonly what: string; readonly holds: (answer: Answer) => boolean };
}

/** What the calls need beside the examples. */
export interface Surroundings {
  readonly address: string;
  /** The authority of the listeners' certificates. */
  readonly listenerAuthority: string;
  readonly signer: Signer;
  readonly partner: KeyPair;
  readonly otherPartner: KeyPair;
}

export const ISSUER = "https://sso.corp.test/realms/main";
const KEY_1 = "example-key-1-change-me";
const KEY_2 = "example-key-2-change-me";

export function callsOf({ address, listenerAuthority, signer, partner, otherPartner }: Surroundings): readonly Call[] {
  const http = (spec: RequestSpec, from?: string) => (): Promise<Answer> =>
    send({ address, port: 8080, ...(from === undefined ? {} : { from }) }, spec);
  const https =
    (serverName: string, tls: Partial<ClientTls> = {}) =>
    (): Promise<Answer> => {
      const target: Target = { address, port: 8443, tls: { serverName, authority: listenerAuthority, ...tls } };
      return send(target, { host: serverName, path: "/orders" });
    };
  const key = (host: string, value?: string): RequestSpec => ({
    host,
    path: "/orders",
    headers: value === undefined ? {} : { "x-api-key": value },
  });
  const bearer = (token: string): RequestSpec => ({
    host: "jwt.shop.test",
    path: "/orders",
    headers: { authorization: `Bearer ${token}`, "x-user-id": "mallory" },
  });
  const application = (azp: string): RequestSpec => ({
    ...bearer(signer.token(claimsFor(ISSUER, "shop", { azp }))),
    host: "consumers.shop.test",
  });
  const archive = (path: string): RequestSpec => ({ ...key("archive.shop.test", KEY_1), path });
  const basic = (password: string): RequestSpec => ({
    host: "basic.shop.test",
    headers: { authorization: `Basic ${Buffer.from(`olga:${password}`).toString("base64")}` },
  });
  const ruled = (path: string, headers: Readonly<Record<string, string>>): RequestSpec => ({
    host: "ruled.shop.test",
    path,
    headers,
  });
  const limited = http({ host: "limited.shop.test", path: "/orders" });
  const ok = { status: 200 } as const;
  return [
    call("01-gateway", "a route that no policy names", { status: 403 }, http({ host: "forgotten.shop.test" })),
    call("01-gateway", "a host that no route names", { status: 404 }, http({ host: "nowhere.shop.test" })),
    call("02-api-key", "no key", refused(401, "key"), http(key("key.shop.test"))),
    call("02-api-key", "a wrong key", refused(401, "key"), http(key("key.shop.test", "guessed"))),
    call("02-api-key", "key k1 of erp", reached("x-consumer", "erp"), http(key("key.shop.test", KEY_1))),
    call("02-api-key", "key k2 of erp; upstream sees it?", hidden("x-api-key"), http(key("key.shop.test", KEY_2))),
    call("03-jwt", "no token", refused(401, "jwt"), http({ host: "jwt.shop.test" })),
    call(
      "03-jwt",
      "alice's token and a forged x-user-id",
      reached("x-user-id", "alice"),
      http(bearer(signer.token(claimsFor(ISSUER, "shop")))),
    ),
    call(
      "03-jwt",
      "a token for another audience",
      refused(401, "jwt"),
      http(bearer(signer.token(claimsFor(ISSUER, "bank")))),
    ),
    call(
      "03-jwt",
      "a token that has expired",
      refused(401, "jwt"),
      http(bearer(signer.token(claimsFor(ISSUER, "shop", { exp: 1 })))),
    ),
    call("04-basic", "the right password", reached("x-consumer", "olga"), http(basic("example-password-change-me"))),
    call("04-basic", "a wrong password", refused(401, "basic"), http(basic("guessed"))),
    call("05-rate-limit", "1st call", ok, limited),
    call("05-rate-limit", "2nd call", ok, limited),
    call("05-rate-limit", "3rd call", ok, limited),
    call("05-rate-limit", "4th call", { ...refused(429, "limited", "rateLimit"), also: has("retry-after") }, limited),
    call("06-mtls", "no client certificate", { status: 0 }, https("partners.shop.test")),
    call("06-mtls", "the certificate of erp", ok, https("partners.shop.test", partner)),
    call(
      "06-mtls",
      "another certificate of that authority",
      { status: 401, policy: "shop/partners#authentication" },
      https("partners.shop.test", otherPartner),
    ),
    call("07-certificate", "TLS 1.3", ok, https("secure.shop.test")),
    call("07-certificate", "TLS 1.2", { status: 0 }, https("secure.shop.test", { maxVersion: "TLSv1.2" })),
    call("08-address-lists", "from 127.0.0.5, the office", ok, http({ host: "office.shop.test" }, "127.0.0.5")),
    call(
      "08-address-lists",
      "from 127.0.7.5",
      refused(403, "office", "allowlist"),
      http({ host: "office.shop.test" }, "127.0.7.5"),
    ),
    call(
      "08-address-lists",
      "from 127.0.9.5, whose entry expired",
      refused(403, "office", "allowlist"),
      http({ host: "office.shop.test" }, "127.0.9.5"),
    ),
    call(
      "08-address-lists",
      "from 127.0.0.66, the scanner",
      refused(403, "office", "denylist"),
      http({ host: "office.shop.test" }, "127.0.0.66"),
    ),
    call("09-public-and-optional", "public, no credential", ok, http({ host: "health.shop.test" })),
    call("09-public-and-optional", "optional, no key", hidden("x-consumer"), http(key("catalogue.shop.test"))),
    call(
      "09-public-and-optional",
      "optional, key k1",
      reached("x-consumer", "erp"),
      http(key("catalogue.shop.test", KEY_1)),
    ),
    call(
      "09-public-and-optional",
      "optional, a wrong key",
      refused(401, "catalogue"),
      http(key("catalogue.shop.test", "guessed")),
    ),
    call("10-logging", "a call with a ticket", ok, http({ host: "logged.shop.test", headers: { "x-ticket": "T-1" } })),
    call("11-audit", "from an address that would be denied", ok, http({ host: "audited.shop.test" })),
    call("12-consumers", "a token of billing", reached("x-consumer", "billing"), http(application("billing"))),
    call("12-consumers", "a token of nobody we know", hidden("x-consumer"), http(application("stranger"))),
    call("12-consumers", "a token of retired, suspended", refused(403, "partners-api"), http(application("retired"))),
    call("13-grants", "erp reads", ok, http(archive("/reports/1"))),
    call("13-grants", "erp exports, with a grant", ok, http(archive("/export"))),
    call("13-grants", "erp purges, without one", refused(403, "archive", "authorization"), http(archive("/purge"))),
    call("14-authorization", "erp reads an order", ok, http(ruled("/orders/7", { "x-api-key": KEY_1 }))),
    call(
      "14-authorization",
      "erp reads something else",
      refused(403, "ruled", "authorization"),
      http(ruled("/customers", { "x-api-key": KEY_1 })),
    ),
    call(
      "14-authorization",
      "an order that is internal, by a detour",
      refused(403, "ruled", "authorization"),
      http(ruled("/orders/7/../internal/7", { "x-api-key": KEY_1 })),
    ),
    call(
      "14-authorization",
      "erp exports, as long as its grant lives",
      ok,
      http(ruled("/export", { "x-api-key": KEY_1 })),
    ),
    call(
      "14-authorization",
      "alice pays without a second factor",
      { ...refused(401, "ruled", "authorization"), also: has("www-authenticate") },
      http(ruled("/pay", { authorization: `Bearer ${signer.token(claimsFor(ISSUER, "shop"))}` })),
    ),
    call(
      "14-authorization",
      "alice pays with one",
      ok,
      http(ruled("/pay", { authorization: `Bearer ${signer.token(claimsFor(ISSUER, "shop", { acr: "urn:mfa" }))}` })),
    ),
  ];
}

function call(example: string, request: string, expected: Expected, doSend: () => Promise<Answer>): Call {
  return { example, request, expected, send: doSend };
}

function refused(status: number, policy: string, section = "authentication"): Expected {
  return { status, policy: `shop/${policy}#${section}` };
}

function has(header: string): NonNullable<Expected["also"]> {
  return { what: header, holds: (answer) => answer.header(header) !== undefined };
}

/** The upstream got exactly this one value of the header. */
function reached(header: string, value: string): Expected {
  const holds = (answer: Answer): boolean => {
    const values = arrived(answer, header);
    return values.length === 1 && values[0] === value;
  };
  return { status: 200, also: { what: `${header}: ${value}`, holds } };
}

/** The upstream got no such header. */
function hidden(header: string): Expected {
  return { status: 200, also: { what: `no ${header}`, holds: (answer) => arrived(answer, header).length === 0 } };
}

function arrived(answer: Answer, header: string): readonly string[] {
  return answer
    .json<Echo>()
    .headers.filter(([name]) => name.toLowerCase() === header)
    .map(([, value]) => value);
}
