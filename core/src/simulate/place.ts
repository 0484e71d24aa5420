/** Where a request arrives: which Gateway, listener and host, as Envoy's listeners and scopes find it (docs/design/scopes.md). */
import { EVERY_HOST, isWildcard, mostSpecific } from "../attach/hostname.ts";
import type { Listener } from "../attach/listeners.ts";
import type { OpenEngine } from "../engine.ts";
import { joinKey } from "../key.ts";
import { byAge, idOf } from "../kinds/meta.ts";
import type { OwnGateway } from "../views.ts";
import type { SimRequest } from "./request.ts";

export interface Arrival {
  readonly own: OwnGateway;
  /** By whose chain the call comes in; of the HTTP listeners of a port the first stands for all. */
  readonly entry: Listener;
  /** Host pattern whose routes are looked at; undefined: none. */
  readonly pattern: string | undefined;
  /** Why the host itself is refused with 400. */
  readonly hostFault?: string;
}

export type Arrived =
  | { readonly ok: true; readonly value: Arrival; readonly others: readonly string[] }
  /** Nobody answers: there is no connection. */
  | { readonly ok: false; readonly reason: string };

export function arrive(open: OpenEngine, gateways: readonly OwnGateway[], request: SimRequest): Arrived {
  const named = gateways.filter(({ gateway }) => request.gateway === undefined || idOf(gateway) === request.gateway);
  if (named.length === 0)
    return {
      ok: false,
      reason:
        request.gateway === undefined
          ? "there is no Gateway of ours"
          : `there is no Gateway ${request.gateway} of ours`,
    };
  const protocol = request.scheme === "https" ? "HTTPS" : "HTTP";
  const at = (port: number | undefined): readonly Arrival[] =>
    named.flatMap((own) => {
      const ports = new Set(
        own.listeners.flatMap(({ port: one, protocol: speaks, fault }) =>
          fault === undefined && speaks === protocol && (port === undefined || one === port) ? [one] : [],
        ),
      );
      return [...ports].flatMap((one) => arrivalAt(open, own, one, request) ?? []);
    });
  const usual = request.scheme === "https" ? 443 : 80;
  const found = request.port === undefined ? firstOf([at(usual), at(undefined)]) : at(request.port);
  const [first, ...others] = found.toSorted(
    (a, b) => specificity(b) - specificity(a) || byAge(a.own.gateway, b.own.gateway) || a.entry.port - b.entry.port,
  );
  if (first === undefined) {
    const where = request.port === undefined ? "" : ` on port ${String(request.port)}`;
    return { ok: false, reason: `no ${protocol} listener${where} takes a connection for ${request.host}` };
  }
  const alike = others.filter((one) => one.pattern !== undefined && specificity(one) === specificity(first));
  return { ok: true, value: first, others: alike.map(({ own, entry }) => `${idOf(own.gateway)}/${entry.name}`) };
}

function firstOf<T>(lists: readonly (readonly T[])[]): readonly T[] {
  return lists.find((list) => list.length > 0) ?? [];
}

function specificity({ pattern }: Arrival): number {
  if (pattern === undefined) return -1;
  return isWildcard(pattern) ? pattern.length : 1_000 + pattern.length;
}

function arrivalAt(open: OpenEngine, own: OwnGateway, port: number, request: SimRequest): Arrival | undefined {
  const listeners = own.listeners.filter((one) => one.port === port && one.fault === undefined);
  const entry = request.scheme === "http" ? listeners[0] : byServerName(listeners, request.host);
  if (entry === undefined) return undefined;
  return { own, entry, ...hostPlace(open, idOf(own.gateway), entry.hcm, request.host) };
}

/** TLS chooses the listener by the name that the client asks for; an address asks for none. */
function byServerName(listeners: readonly Listener[], host: string): Listener | undefined {
  const name = /^(\[.*\]|[0-9.]+)$/.test(host) ? "" : host.toLowerCase().replace(/\.$/, "");
  const patterns = listeners.map(({ hostname }) => hostname).filter((pattern) => name !== "" || pattern === EVERY_HOST);
  const chosen = mostSpecific(patterns, name);
  return listeners.find(({ hostname }) => hostname === chosen);
}

function hostPlace(
  open: OpenEngine,
  gateway: string,
  hcm: string,
  raw: string,
): Pick<Arrival, "pattern" | "hostFault"> {
  const known = (pattern: string): boolean => open.wiring.hosts.get(joinKey(gateway, hcm, pattern)).size > 0;
  const host = raw.toLowerCase().replace(/\.$/, "");
  if (known(raw)) return { pattern: raw };
  if (known(host)) return { pattern: host };
  if (!isHostName(host))
    return { pattern: undefined, hostFault: `${JSON.stringify(raw.slice(0, 253))} is no host name` };
  const wildcards = [...open.wiring.wildcards.get(joinKey(gateway, hcm)).keys()].filter((one) => one !== "");
  return { pattern: mostSpecific(wildcards, host) };
}

/** As translate/scope-picker.ts asks it. */
function isHostName(host: string): boolean {
  const name = /^[\w-][\w.-]*$/.test(host) && !host.includes("..") && !host.endsWith(".");
  return name || /^\[[0-9A-Fa-f:.]+\]$/.test(host);
}
