/** From a request to the rule that it falls to, or to what is answered before any policy has a say. */
import type { OpenEngine } from "../engine.ts";
import { idOf, splitId } from "../kinds/meta.ts";
import { listenerSettings } from "../translate/gateway-stage.ts";
import { type Answer, MISDIRECTED, NOT_FOUND } from "../translate/refusal.ts";
import type { Model as ClientIP } from "../slices/clientIP/slice.ts";
import { type ClientAddress, clientAddress } from "./address.ts";
import type { Call, PresentedCertificate } from "./contract.ts";
import { headersOf, withHeaders } from "./headers.ts";
import { hasPathParameter, headerFault, methodFault, normalisePath } from "./normalise.ts";
import { type Arrival, arrive } from "./place.ts";
import type { SimRequest } from "./request.ts";
import { type Found, findRule } from "./rule.ts";

export interface Refused {
  readonly status: number; // 0: there is no connection
  readonly code: string;
  readonly reason: string;
  readonly policy?: string;
  readonly rule?: string;
}

export type Located =
  | {
      readonly ok: true;
      readonly gateway: string; // namespace/name/listener
      readonly route: string; // namespace/name/rule
      readonly arrival: Arrival;
      readonly found: Extract<Found, { type: "Rule" }>;
      readonly call: Call;
      readonly address: ClientAddress;
      /** Listeners of other Gateways that would take the call as well. */
      readonly others: readonly string[];
    }
  | {
      readonly ok: false;
      readonly at: "listener" | "mtls" | "request" | "route";
      readonly refused: Refused;
      readonly gateway: string;
      readonly route: string;
      readonly others: readonly string[];
    };

export function locate(open: OpenEngine, request: SimRequest): Located {
  const gateways = open.gatewayIds().flatMap((id) => open.views.gateways.get(id) ?? []);
  const arrived = arrive(open, gateways, request);
  const nowhere = { ok: false, gateway: "", route: "", others: [] } as const;
  if (!arrived.ok) return { ...nowhere, at: "listener", refused: { status: 0, code: "", reason: arrived.reason } };
  const { value: arrival, others } = arrived;
  const gateway = `${idOf(arrival.own.gateway)}/${arrival.entry.name}`;
  const here = { ...nowhere, gateway, others };
  if (needsCertificate(open, arrival, request)) {
    const reason = "the listener asks for a client certificate, and there is none: the TLS handshake fails";
    return { ...here, at: "mtls", refused: { status: 0, code: "", reason } };
  }
  const path = readable(request, arrival);
  if (typeof path !== "string") return { ...here, at: "request", refused: path };

  const { call, address } = callOf(open, arrival, request, path);
  const found = findRule(open, arrival, call);
  switch (found.type) {
    case "Misdirected":
      return { ...here, at: "route", refused: answered(MISDIRECTED) };
    case "None":
      return { ...here, at: "route", refused: answered(NOT_FOUND) };
    case "Broken":
      return { ...here, at: "route", route: found.route, refused: answered(found.answer) };
    case "Rule": {
      const behind = `${idOf(arrival.own.gateway)}/${found.listener}`;
      return { ok: true, gateway: behind, route: found.route, arrival, found, call, address, others };
    }
  }
}

export function answered({ status, code, detail, policy }: Answer): Refused {
  return { status, code, reason: detail, ...(policy === undefined ? {} : { policy }) };
}

function needsCertificate(open: OpenEngine, { own, entry }: Arrival, request: SimRequest): boolean {
  return (
    entry.protocol === "HTTPS" &&
    open.reads.hosts.clientCertificates(own, entry) === "Strict" &&
    presented(open, request, entry.protocol) === undefined
  );
}

/** The path as it is read, or why the request line or its headers are refused. */
function readable(request: SimRequest, { hostFault }: Arrival): string | Refused {
  const malformed = (reason: string): Refused => ({ status: 400, code: "GW-HTTP-400", reason });
  const fault = methodFault(request.method) ?? headerFault(request.headers);
  if (fault !== undefined) return malformed(fault);
  const path = normalisePath(request.path);
  if (!path.ok) return malformed(path.reason);
  if (hostFault !== undefined) return malformed(hostFault);
  if (!hasPathParameter(path.path)) return path.path;
  return { status: 400, code: "GW-PATH-001", reason: "the path holds a semicolon, which servers read differently" };
}

function callOf(
  open: OpenEngine,
  { own, entry }: Arrival,
  request: SimRequest,
  path: string,
): { readonly call: Call; readonly address: ClientAddress } {
  const sent = headersOf(
    request.headers
      .filter(([name]) => !/^x-(gatewarden|envoy)-/i.test(name))
      .map(([name, value]) => [name, value.replaceAll(/^[ \t]+|[ \t]+$/g, "")]), // RFC 9110, section 5.5
  );
  const settings = listenerSettings(own, entry, open.reads.hosts);
  const clientIP = settings.find(({ slice }) => slice.key === "clientIP")?.enforced?.model as ClientIP | undefined;
  const address = clientAddress(request.from, sent, clientIP);
  const forwarded = [sent.joined("x-forwarded-for"), request.from].filter((one) => one !== undefined).join(",");
  const headers = withHeaders(sent, {
    host: request.host,
    "x-forwarded-for": forwarded,
    "x-forwarded-proto": request.scheme,
    "x-request-id": sent.joined("x-request-id") ?? "(generated)",
  });
  const { method, host, scheme, as, atMs } = request;
  const certificate = presented(open, request, entry.protocol);
  return {
    address,
    call: { method, path, host, scheme, headers, address: address.address, certificate, as, nowMs: atMs },
  };
}

/** A consumer who is known by exact names brings a certificate with them. */
function presented(open: OpenEngine, request: SimRequest, protocol: string): PresentedCertificate | undefined {
  if (protocol !== "HTTPS") return undefined;
  if (request.certificate !== undefined || request.as === undefined) return request.certificate;
  const { namespace, name } = splitId(request.as);
  const consumer = open.consumers.inNamespace(namespace, undefined).find((one) => one.name === name);
  const exact = (consumer?.identities ?? []).filter(({ type }) => type === "Exact");
  if (exact.length === 0) return undefined;
  const names = (san: string): readonly string[] => exact.flatMap((one) => (one.san === san ? [one.value] : []));
  return { uris: names("URI"), dns: names("DNS"), emails: names("Email") };
}
