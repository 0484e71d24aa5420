/** The xDS server: ADS over TLS for the proxies of many gateways. It makes the parts and owns their life; what they do is in their files. */
import { Server, status } from "@grpc/grpc-js";
import { descriptors } from "../registry.ts";
import type {
  Authenticate,
  Clock,
  Log,
  Metrics,
  RefusedProxy,
  ResourceChange,
  ResourceKey,
  ResourceReport,
  ResourceStatus,
} from "../types.ts";
import { RESOURCE_TYPES } from "../types.ts";
import { type Book, createBook } from "./book.ts";
import { type CertificateResult, createServerCertificate } from "./certificate.ts";
import { type Encoded, encodeInSlices } from "./encode.ts";
import { createPacker } from "./pack.ts";
import { type Call, CallError, createGate, endingOf, handlersOf, type Identity, servicesOf } from "./gate.ts";
import { type AcceptReplica, REPLICAS, serveReplicas, SHARE_PATH } from "./replicas.ts";
import { decodeSnapshot, encodeSnapshot } from "../snapshot.ts";
import { serveCall } from "./call.ts";
import type { Protocol } from "./discovery.ts";

export interface XdsServerOptions {
  readonly authenticate: Authenticate;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Statuses of these resources may differ now; "all" when a proxy came, went or became complete. Never called during a call of yours. */
  readonly onChange: (gateway: string, keys: readonly ResourceKey[] | "all") => void;
  /**
   * For a server that stands in: a proxy gets its first configuration here and is then sent away, and one that has some already is not
   * served, since what is here may be older.
   */
  readonly firstConfigurationOnly?: boolean;
  /** There is such a server for this one: a new proxy is told of what it may have from there and should not. */
  readonly hasStandIn?: boolean;
  /** A replica of this operator connects. Without it none may. */
  readonly acceptReplica?: AcceptReplica;
  /** A proxy with a good token was turned away. */
  readonly onRefusedProxy: (proxy: RefusedProxy) => void;
}

/** Proxies of one gateway: those that acknowledged a first complete configuration, and those that did not yet. */
export interface ProxyCount {
  readonly complete: number;
  readonly joining: number;
}

export interface XdsServer {
  /** Checks the pair and serves it from the next handshake on; a bad one changes nothing. */
  setCertificate(certificatePem: string, privateKeyPem: string): CertificateResult;
  /**
   * Takes changes over, in the order of the calls; what one call brings is published at once. Resolved when published: from then on
   * {@link status} speaks about it. Small changes are published before this returns.
   */
  apply(changes: readonly ResourceChange[]): Promise<void>;
  /** Binds `host:port` and answers the port. Only after the first complete configuration was applied (rule R26). */
  listen(address: string): Promise<number>;
  /** What a new proxy of the gateway would get, in last good versions; undefined where there is nothing. It holds keys. */
  snapshot(gateway: string): Promise<Buffer | undefined>;
  /** Snapshots of an earlier process, before the first {@link apply}: what was good then stands in for what is refused now. Throws for other bytes. */
  seed(gateway: string, snapshot: Uint8Array): void;
  /** Makes a snapshot the whole of a gateway's resources; undefined: it has none. Throws for other bytes. */
  serve(gateway: string, snapshot: Uint8Array | undefined): void;
  status(gateway: string, key: ResourceKey): ResourceStatus;
  /** The same with the version that it is about, for other replicas. */
  report(gateway: string, key: ResourceKey): ResourceReport;
  /** Everything that there is of a gateway. */
  keys(gateway: string): readonly ResourceKey[];
  /** Gateways of which there are resources or proxies. */
  gateways(): readonly string[];
  proxies(gateway: string): ProxyCount;
  /** Ends all streams, so that proxies go elsewhere, and closes; connections that stay longer than `graceMs` are cut. */
  stop(graceMs: number): Promise<void>;
}

/** https://github.com/grpc/grpc-node/blob/master/packages/grpc-js/README.md#supported-channel-options; most are unlimited by default. */
const CHANNEL_OPTIONS = {
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.max_connection_age_ms": 1_800_000, // so that proxies spread over replicas
  "grpc.max_connection_age_grace_ms": 10_000,
  "grpc.max_concurrent_streams": 16, // a proxy needs one
  "grpc.max_receive_message_length": 8 * 1024 * 1024, // 50,000 names of a resumed subscription
  "grpc.max_send_message_length": -1, // a first answer carries all scopes
  "grpc.enable_channelz": 0,
} as const;

/** Packages whose RPCs are registered: ADS, and what is there to be refused. */
export const DISCOVERY_SERVICES = [
  "cluster",
  "discovery",
  "endpoint",
  "extension",
  "listener",
  "route",
  "runtime",
  "secret",
  "status",
].map((name) => `envoy.service.${name}.`);
const ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService";
const NOTHING: ResourceReport = { version: "", lacking: 0 };
const NO_PROXIES: ProxyCount = { complete: 0, joining: 0 };

export function createXdsServer(options: XdsServerOptions): XdsServer {
  const { clock, log, metrics } = options;
  const packer = createPacker();
  const books = new Map<string, Book>();
  const calls = new Set<{ end(code: status, message: string): void }>();
  const certificate = createServerCertificate();
  const gate = createGate(options);
  const server = new Server(CHANNEL_OPTIONS);
  const firstOnly = options.firstConfigurationOnly === true;
  const queue: (readonly ResourceChange[])[] = [];
  let working = false;
  let published = Promise.resolve();
  let stopping = false;

  const bookOf = (gateway: string): Book => {
    const known = books.get(gateway);
    if (known !== undefined) return known;
    const book = createBook(clock, {
      onChange: (keys) => options.onChange(gateway, keys),
      onQuarantine({ type, name }, { by, node }) {
        metrics.quarantined(type);
        // Never the text: an Envoy may quote what stands in a Secret.
        log.warn("resource refused", { gateway, type, name, by, node });
      },
    });
    books.set(gateway, book);
    return book;
  };
  const release = (gateway: string): void => {
    if (books.get(gateway)?.isEmpty() === true) books.delete(gateway);
  };
  const publish = (encoded: readonly Encoded[]): void => {
    for (const [gateway, changes] of Map.groupBy(encoded, (change) => change.gateway)) {
      bookOf(gateway).publish(changes);
      release(gateway);
    }
  };
  const serve = (protocol: Protocol) => (call: Call, identity: Identity) => {
    if (stopping) {
      gate.refuse(endingOf(call), new CallError(status.UNAVAILABLE, "shutting down"));
      return;
    }
    const served = serveCall(
      { call, identity, protocol },
      {
        clock,
        log,
        metrics,
        gate,
        bookOf,
        onRefusedProxy: options.onRefusedProxy,
        onEnd,
        firstOnly,
        standIn: options.hasStandIn === true,
      },
    );
    calls.add(served);
    function onEnd(gateway: string | undefined): void {
      calls.delete(served);
      if (gateway !== undefined) release(gateway);
    }
  };
  const served = {
    [`${ADS}/DeltaAggregatedResources`]: serve("delta"),
    [`${ADS}/StreamAggregatedResources`]: serve("sotw"),
  };
  for (const definition of servicesOf(DISCOVERY_SERVICES.flatMap(descriptors().methods)).values()) {
    server.addService(definition, handlersOf(definition, served, gate));
  }

  const shared = { [SHARE_PATH]: serveReplicas(options.acceptReplica, gate) };
  server.addService(REPLICAS, handlersOf(REPLICAS, shared, gate));

  return {
    setCertificate: (certificatePem, privateKeyPem) => certificate.set(certificatePem, privateKeyPem),
    apply(changes) {
      queue.push(changes);
      if (!working) published = work();
      return published;
    },
    listen(address) {
      for (const book of books.values()) book.endSeeding();
      if (!certificate.isSet()) return Promise.reject(new Error("no certificate to serve with"));
      return new Promise((resolve, reject) => {
        server.bindAsync(address, certificate.credentials, (error, port) =>
          error === null ? resolve(port) : reject(error),
        );
      });
    },
    async snapshot(gateway) {
      const kept = books.get(gateway)?.lastGood() ?? [];
      return kept.length === 0 ? undefined : await encodeSnapshot(kept);
    },
    seed: (gateway, snapshot) => bookOf(gateway).seed(decodeSnapshot(snapshot, packer)),
    serve(gateway, snapshot) {
      const kept = snapshot === undefined ? [] : decodeSnapshot(snapshot, packer);
      const names = new Set(kept.map(([type, name]) => `${type} ${name}`));
      const book = bookOf(gateway);
      const gone = RESOURCE_TYPES.flatMap((type) =>
        [...book.entries(type).keys()].flatMap((name) => (names.has(`${type} ${name}`) ? [] : [{ type, name }])),
      );
      const base = { gateway, refusal: undefined, fallback: undefined, endpoint: undefined };
      book.publish([
        ...kept.map(([type, name, content]) => ({ ...base, type, name, content, present: true })),
        ...gone.map(({ type, name }) => ({ ...base, type, name, content: undefined, present: false })),
      ]);
      release(gateway);
    },
    status: (gateway, key) => books.get(gateway)?.status(key) ?? { state: "absent" },
    report: (gateway, key) => books.get(gateway)?.report(key) ?? NOTHING,
    keys: (gateway) => {
      const book = books.get(gateway);
      return book === undefined
        ? []
        : RESOURCE_TYPES.flatMap((type) => [...book.entries(type).keys()].map((name) => ({ type, name })));
    },
    gateways: () => [...books.keys()],
    proxies: (gateway) => books.get(gateway)?.proxies() ?? NO_PROXIES,
    async stop(graceMs) {
      stopping = true;
      for (const call of calls) call.end(status.UNAVAILABLE, "shutting down");
      const closed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      const cancel = clock.after(graceMs, () => server.forceShutdown());
      await closed;
      cancel();
      for (const book of books.values()) book.stop();
    },
  };

  /** Publishes what is queued, call by call. */
  async function work(): Promise<void> {
    working = true;
    try {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const encoded = encodeInSlices(next, metrics, packer);
        publish(encoded instanceof Promise ? await encoded : encoded);
      }
    } finally {
      working = false;
    }
  }
}
