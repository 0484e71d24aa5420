/** Short forms for the scenarios about authentication: a route with its section, the upstream's view of a request, and keys of consumers. */
import { constants, createHmac, sign } from "node:crypto";
import type { Answer } from "../client/answer.ts";
import { type RequestSpec, send } from "../client/http1.ts";
import type { Target } from "../client/target.ts";
import type { KubeObject } from "../harness/api.ts";
import type { Tenant } from "../harness/tenant.ts";
import type { Claims, Signer } from "../material/jwt.ts";
import type { Echo } from "../upstream/echo.ts";
import { apiPolicy } from "./policies-manifest.ts";
import { httpRoute, rule } from "./routes-manifest.ts";

/** An HTTPRoute `name` for the host `name.test` to Service `orders`, with an ApiPolicy of that name; resolves when both are in force. */
export async function guard(tenant: Tenant, name: string, authentication: object): Promise<void> {
  await tenant.enforce(guarded(name, authentication));
}

export function guarded(name: string, authentication: object): readonly KubeObject[] {
  return [
    httpRoute(name, { hostnames: [`${name}.test`], rules: [rule("orders")] }),
    apiPolicy(name, { kind: "HTTPRoute", name }, { authentication }),
  ];
}

/** Tokens of one issuer for the audience `shop`; `more` says where its keys are, and what else is different. */
export function tokensOf(issuer: string, more: object): { readonly jwt: readonly object[] } {
  return { jwt: [{ name: "corp", issuer, audiences: ["shop"], ...more }] };
}

/** Keys that stand in a ConfigMap. */
export function keysIn(configMap: string): { readonly jwks: object } {
  return { jwks: { type: "Ref", ref: { kind: "ConfigMap", name: configMap, key: "jwks.json" } } };
}

/** The values of a header that reached the upstream, however they were spelt or joined. */
export function upstreamValues(answer: Answer, name: string): readonly string[] {
  if (answer.status !== 200) throw new Error(`nothing reached the upstream: ${String(answer.status)} ${answer.body}`);
  const plain = (text: string): string => text.toLowerCase().replaceAll("_", "-");
  return answer
    .json<Echo>()
    .headers.filter(([each]) => plain(each) === plain(name))
    .map(([, value]) => value);
}

/** One word for an answer: `200`, or the status and code of a refusal. */
export function verdictOf(answer: Answer): string {
  if (answer.status < 400) return String(answer.status);
  const type = answer.header("content-type") ?? "";
  return type.startsWith("application/problem+json")
    ? `${String(answer.status)} ${answer.problem().code}`
    : `${String(answer.status)} without a problem`;
}

/** The verdicts of named requests, as one object for comparing. */
export async function verdicts(
  target: Target,
  requests: Readonly<Record<string, RequestSpec>>,
): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  for (const [name, request] of Object.entries(requests)) found[name] = verdictOf(await send(target, request));
  return found;
}

export function bearer(token: string): Readonly<Record<string, string>> {
  return { authorization: `Bearer ${token}` };
}

export function basicCredential(user: string, password: string): Readonly<Record<string, string>> {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}

/** A token of another algorithm made with the private RSA key of a signer. */
export function tokenAs(algorithm: "RS256" | "RS512" | "PS256", signer: Signer, claims: Claims): string {
  const signed = `${encoded({ alg: algorithm, typ: "JWT", kid: signer.keyId })}.${encoded(claims)}`;
  const padding =
    algorithm === "PS256"
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      : {};
  const signature = sign(`sha${algorithm.slice(2)}`, Buffer.from(signed), { key: signer.privateKey, ...padding });
  return `${signed}.${signature.toString("base64url")}`;
}

/** A token of HS256 with this secret. */
export function hmacToken(secret: Buffer, claims: Claims, keyId?: string): string {
  const header = { alg: "HS256", typ: "JWT", ...(keyId === undefined ? {} : { kid: keyId }) };
  const signed = `${encoded(header)}.${encoded(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
