/** One ADS call: from the first request, which says who asks, to the end of its token. Joins gRPC to an AdsStream. */
import { status } from "@grpc/grpc-js";
import type { Clock, Log, Metrics, RefusedProxy } from "../types.ts";
import type { Book } from "./book.ts";
import { decodeRequest, type Node, type Protocol, type Request } from "./discovery.ts";
import { type Call, CallError, endingOf, type Gate, type Identity } from "./gate.ts";
import { AdsStream } from "./stream.ts";
import { vulnerability } from "./version-floor.ts";

export interface CallParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly gate: Gate;
  readonly bookOf: (gateway: string) => Book;
  readonly onRefusedProxy: (proxy: RefusedProxy) => void;
  /** Only first configurations are served (server.ts). */
  readonly firstOnly: boolean;
  /** Another server stands in for this one. */
  readonly standIn: boolean;
  /** The call is over; the gateway it served, if it came that far. */
  readonly onEnd: (gateway: string | undefined) => void;
}

export interface ServedCall {
  end(code: status, message: string): void;
}

/** A client that says nothing holds no place for longer. */
const FIRST_REQUEST_LIMIT_MS = 15_000;

/** Between a proxy's first complete configuration and its being sent away from a server that stands in. */
const STAY_MS = 1_000;

export function serveCall(
  { call, identity, protocol }: { readonly call: Call; readonly identity: Identity; readonly protocol: Protocol },
  parts: CallParts,
): ServedCall {
  const { clock, log, metrics, gate } = parts;
  let stream: AdsStream | undefined;
  let gateway: string | undefined;
  let over = false;

  const finish = (): void => {
    if (over) return;
    over = true;
    stopExpiry();
    stopFirst();
    stopLeave();
    stream?.close();
    metrics.streams(-1);
    log.debug("stream closed", { gateway });
    parts.onEnd(gateway);
  };
  const refuse = (error: unknown): void => {
    if (over) return;
    finish();
    gate.refuse(endingOf(call), error);
  };
  const end = (code: status, message: string): void => refuse(new CallError(code, message));

  const begin = (request: Request): AdsStream => {
    if (request.node === undefined) throw new CallError(status.INVALID_ARGUMENT, "the first request must carry a node");
    const { node } = request;
    admit(node, identity, parts.onRefusedProxy);
    if (parts.firstOnly && request.resumes)
      throw new CallError(status.UNAVAILABLE, "only proxies without configuration are served here");
    gateway = node.cluster;
    log.info("proxy connected", {
      gateway,
      node: node.id,
      version: node.version,
      protocol,
      resumes: request.resumes,
      standIn: parts.standIn,
    });
    const transport = {
      send(bytes: Buffer) {
        if (!over) call.write(bytes);
      },
      end: (code: "UNAVAILABLE" | "RESOURCE_EXHAUSTED", message: string) => end(status[code], message),
    };
    const book = parts.bookOf(gateway);
    return new AdsStream(
      { protocol, node: node.id, resumes: request.resumes, standIn: parts.standIn },
      { book, transport, clock, metrics, onComplete },
    );
  };

  /** It has what it needs: from now on it is to look for the one whom this one stands in for. */
  const onComplete = (): void => {
    if (parts.firstOnly)
      stopLeave = clock.after(STAY_MS, () => end(status.UNAVAILABLE, "that was the first configuration"));
  };
  let stopLeave = (): void => undefined;

  metrics.streams(1);
  const stopExpiry = clock.after(identity.expiresAtMs - clock.now(), () =>
    end(status.UNAUTHENTICATED, "the token has expired"),
  );
  const stopFirst = clock.after(FIRST_REQUEST_LIMIT_MS, () => {
    if (stream === undefined) end(status.DEADLINE_EXCEEDED, "no request");
  });
  call.on("data", (bytes: Buffer) => {
    if (over) return;
    // An exception here would leave the call hanging and end the process (rules.md, pitfall 16).
    try {
      const request = decode(protocol, bytes);
      stream ??= begin(request);
      stream.request(request);
    } catch (error) {
      refuse(error);
    }
  });
  call.on("end", () => {
    finish();
    call.end();
  });
  // Which of them comes depends on who ended the call and how.
  for (const event of ["cancelled", "close", "error"]) call.on(event, finish);
  return { end };
}

function decode(protocol: Protocol, bytes: Uint8Array): Request {
  try {
    return decodeRequest(protocol, bytes);
  } catch {
    throw new CallError(status.INVALID_ARGUMENT, "not a discovery request");
  }
}

/** A proxy gets the configuration of its own gateway and nothing else, and only where its Envoy is sound. */
function admit(node: Node, identity: Identity, onRefusedProxy: (proxy: RefusedProxy) => void): void {
  const { id, cluster: gateway, userAgent, version } = node;
  const { gateways } = identity;
  if (typeof gateways === "string" ? gateways !== gateway : !gateways.has(gateway)) {
    const message = `this token is not for gateway ${JSON.stringify(gateway)}`;
    onRefusedProxy({ gateway, node: id, version, reason: "ForeignGateway", message });
    throw new CallError(status.PERMISSION_DENIED, message);
  }
  const fault = vulnerability(userAgent, version);
  if (fault !== undefined) {
    onRefusedProxy({ gateway, node: id, version, reason: "VulnerableVersion", message: fault });
    throw new CallError(status.FAILED_PRECONDITION, fault);
  }
}
