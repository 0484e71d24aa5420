/**
 * Nothing is done for a caller before it is known: every registered RPC goes through here first (rules A2, A3). Then only the two ADS
 * streams are served; every other RPC of Envoy's discovery services is there to be refused, and to refuse strangers in the same way.
 */
import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  type Metadata,
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { Method } from "../descriptors.ts";
import {
  type Authenticate,
  type Authentication,
  BINARY_TOKEN_HEADER,
  type Clock,
  type Log,
  type Metrics,
} from "../types.ts";

export type Identity = Extract<Authentication, { readonly ok: true }>;
export type Call = ServerDuplexStream<Buffer, Buffer>;

/** A gRPC status that ends a call. */
export class CallError extends Error {
  readonly code: status;
  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

/** Sends the status that ends a call. */
export type EndCall = (ending: { readonly code: status; readonly details: string }) => void;

/** How long the question whose token it is may take. */
const AUTHENTICATION_LIMIT_MS = 10_000;

export interface Gate {
  /** Throws a CallError for everybody who is not known. */
  identify(metadata: Metadata, ended: AbortSignal): Promise<Identity>;
  /** Ends a call with what was thrown, which is counted. */
  refuse(end: EndCall, error: unknown): void;
}

export function createGate(parts: {
  readonly authenticate: Authenticate;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}): Gate {
  const { authenticate, clock, log, metrics } = parts;
  return {
    async identify(metadata, ended) {
      const token = bearerToken(metadata);
      const limit = new AbortController();
      const stop = clock.after(AUTHENTICATION_LIMIT_MS, () => limit.abort());
      try {
        const identity = await untilAborted(
          (signal) => authenticate(token, signal),
          AbortSignal.any([ended, limit.signal]),
        );
        if (!identity.ok) throw new CallError(status.UNAUTHENTICATED, identity.message);
        if (identity.expiresAtMs <= clock.now()) throw new CallError(status.UNAUTHENTICATED, "the token has expired");
        return identity;
      } catch (error) {
        if (error instanceof CallError) throw error;
        throw new CallError(status.UNAVAILABLE, "the token cannot be checked now");
      } finally {
        stop();
      }
    },
    refuse(end, error) {
      const known = error instanceof CallError ? error : new CallError(status.INTERNAL, "internal error");
      if (known !== error)
        log.error("xDS call failed", { error: error instanceof Error ? error.message : String(error) });
      metrics.denied(status[known.code] ?? "UNKNOWN");
      end({ code: known.code, details: known.message });
    },
  };
}

export function endingOf(call: Call): EndCall {
  // grpc-js takes a status from a streaming handler as an `error` event.
  return (ending) => void call.emit("error", ending);
}

async function untilAborted<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    const onAbort = (): void => reject(new Error("aborted"));
    signal.addEventListener("abort", onAbort, { once: true });
    stop = () => signal.removeEventListener("abort", onAbort);
  });
  try {
    return await Promise.race([work(signal), aborted]);
  } finally {
    stop();
  }
}

function bearerToken(metadata: Metadata): string {
  const values = [...metadata.get("authorization"), ...metadata.get(BINARY_TOKEN_HEADER)];
  const token = values.length === 1 ? /^Bearer +([^\s,]+)\s*$/i.exec(String(values[0]))?.[1] : undefined;
  if (token === undefined) throw new CallError(status.UNAUTHENTICATED, "a bearer token is needed");
  return token;
}

const bytes = (value: Buffer): Buffer => value;

/** Definitions of all services, to be registered as they are: messages stay bytes. */
export function servicesOf(methods: readonly Method[]): ReadonlyMap<string, ServiceDefinition> {
  const services = new Map<string, Record<string, ServiceDefinition[string]>>();
  for (const { service, name, clientStreaming, serverStreaming } of methods) {
    const definition = services.get(service) ?? {};
    definition[name] = {
      path: `/${service}/${name}`,
      requestStream: clientStreaming,
      responseStream: serverStreaming,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    };
    services.set(service, definition);
  }
  return services;
}

/** Handlers of one service: `serve` for the methods it has, refusal for the others, the gate before both. */
export function handlersOf(
  definition: ServiceDefinition,
  serve: Readonly<Record<string, (call: Call, identity: Identity) => void>>,
  gate: Gate,
): UntypedServiceImplementation {
  const handlers: UntypedServiceImplementation = {};
  for (const [name, { path, requestStream, responseStream }] of Object.entries(definition)) {
    const streamed: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
      const ended = new AbortController();
      const end = endingOf(call);
      call.once("cancelled", () => ended.abort());
      gate.identify(call.metadata, ended.signal).then(
        (identity) => {
          const own = serve[path];
          if (own === undefined) gate.refuse(end, unimplemented(name));
          else if (!ended.signal.aborted) own(call, identity);
        },
        (error: unknown) => gate.refuse(end, error),
      );
    };
    const unary: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
      gate.identify(call.metadata, new AbortController().signal).then(
        () => gate.refuse(callback, unimplemented(name)),
        (error: unknown) => gate.refuse(callback, error),
      );
    };
    handlers[name] = requestStream || responseStream ? streamed : unary;
  }
  return handlers;
}

function unimplemented(name: string): CallError {
  return new CallError(status.UNIMPLEMENTED, `${name} is not served: use aggregated discovery`);
}
