/** A Gateway's listeners as they are served: which HCM each gets, which are in conflict, what may attach. */
import type { Gateway, ListenerSpec } from "../kinds/gateway-api/gateway.ts";
import { GATEWAY_GROUP } from "../kinds/gateway-api/gateway.ts";
import { isTakenPort, READY_PORT } from "../infrastructure/names.ts";
import { EVERY_HOST, isHostPattern } from "./hostname.ts";

export interface Fault {
  readonly condition: "Accepted" | "Conflicted" | "ResolvedRefs";
  readonly reason: string;
  readonly message: string;
}

export interface Listener {
  readonly name: string;
  readonly port: number;
  readonly protocol: "HTTP" | "HTTPS";
  readonly hostname: string; // pattern; EVERY_HOST where none is written
  readonly hcm: string;
  readonly spec: ListenerSpec;
  readonly kinds: readonly { readonly group: string; readonly kind: string }[];
  /** Why it is not served. */
  readonly fault: Fault | undefined;
  /** A kind in `allowedRoutes` that no listener of ours takes; the listener is served all the same. */
  readonly kindsFault: Fault | undefined;
}

const supportedKinds = [{ group: GATEWAY_GROUP, kind: "HTTPRoute" }] as const;

/** @param inCluster proxies run in pods, whose own ports no listener can have */
export function listenersOf(gateway: Gateway, inCluster = false): readonly Listener[] {
  return gateway.listeners.map((spec): Listener => {
    const protocol = spec.protocol === "HTTPS" ? "HTTPS" : "HTTP";
    const allowed = spec.kinds.length === 0 ? supportedKinds : spec.kinds;
    const kinds = supportedKinds.filter((kind) =>
      allowed.some((one) => one.group === kind.group && one.kind === kind.kind),
    );
    const foreign = spec.kinds.find(
      (one) => !supportedKinds.some((kind) => one.group === kind.group && one.kind === kind.kind),
    );
    return {
      name: spec.name,
      port: spec.port,
      protocol,
      hostname: spec.hostname ?? EVERY_HOST,
      hcm: hcmId(protocol, spec),
      spec,
      kinds,
      fault: faultOf(spec, gateway.listeners) ?? (inCluster ? portFault(spec) : undefined),
      kindsFault: foreign && {
        condition: "ResolvedRefs",
        reason: "InvalidRouteKinds",
        message: `routes of kind ${foreign.kind} cannot attach here; supported: HTTPRoute`,
      },
    };
  });
}

/**
 * HTTP listeners of a port share one HCM, and an HTTPS listener has its own, chosen by SNI. The id is in scope keys. It says what proxies see
 * of a listener, of which a Gateway has no two alike, and not its name: a listener that is renamed stays what it is to them, and its
 * connections stay open. Dots would divide the names of statistics, and no host name has an underscore.
 */
export function hcmId(
  protocol: "HTTP" | "HTTPS",
  { port, hostname = EVERY_HOST }: { readonly port: number; readonly hostname?: string | undefined },
): string {
  return protocol === "HTTP" ? `http-${port}` : `https-${port}-${hostname.replaceAll(".", "_")}`;
}

function faultOf(spec: ListenerSpec, all: readonly ListenerSpec[]): Fault | undefined {
  if (spec.protocol !== "HTTP" && spec.protocol !== "HTTPS") {
    return {
      condition: "Accepted",
      reason: "UnsupportedProtocol",
      message: `protocol ${spec.protocol} is not served; use HTTP or HTTPS`,
    };
  }
  if (spec.hostname !== undefined && !isHostPattern(spec.hostname)) {
    return { condition: "Accepted", reason: "UnsupportedValue", message: `hostname ${spec.hostname} is no DNS name` };
  }
  if (spec.protocol === "HTTPS" && spec.tls?.mode !== undefined && spec.tls.mode !== "Terminate") {
    return {
      condition: "Accepted",
      reason: "UnsupportedValue",
      message: `tls.mode ${spec.tls.mode} is not served on HTTPS; use Terminate`,
    };
  }
  const others = all.filter((other) => other !== spec && other.port === spec.port);
  const protocol = others.find((other) => other.protocol !== spec.protocol);
  if (protocol !== undefined) {
    return conflict(
      "ProtocolConflict",
      `port ${spec.port} is also used by listener ${protocol.name} with protocol ${protocol.protocol}`,
    );
  }
  const host = others.find((other) => other.hostname === spec.hostname);
  if (host !== undefined) {
    return conflict(
      "HostnameConflict",
      `listener ${host.name} has the same port ${spec.port} and hostname ${spec.hostname ?? "(none)"}`,
    );
  }
  return undefined;
}

function portFault({ port }: ListenerSpec): Fault | undefined {
  if (!isTakenPort(port)) return undefined;
  const message = `port ${port} is used by the proxies themselves; use one below ${READY_PORT}`;
  return { condition: "Accepted", reason: "PortUnavailable", message };
}

function conflict(reason: string, message: string): Fault {
  return { condition: "Conflicted", reason, message };
}
