/** The operator's parts put together, and the order in which they come up and go down. What each does is in its own file. */
import type { Change, Engine, EngineOptions, Kind, Output, ResourceChange } from "@gatewarden/core/world.ts";
import { createXdsServer, type XdsServer } from "@gatewarden/xds/server/server.ts";
import { addressText } from "./address.ts";
import { createCertificateWriter } from "./certificates.ts";
import { sleep, type Clock } from "./clock.ts";
import type { OperatorConfig } from "./config.ts";
import { startHealthServer } from "./http/health.ts";
import { infrastructureOptions } from "./infrastructure/options.ts";
import { createInfrastructureWriter } from "./infrastructure/writer.ts";
import { createAddressGuard } from "./jwks/address-guard.ts";
import { createFetch } from "./jwks/fetch.ts";
import { createJwksKeeper } from "./jwks/keeper.ts";
import { openStoredKeySets } from "./jwks/stored.ts";
import { createKubeClient } from "./kube/client.ts";
import type { Credentials } from "./kube/credentials.ts";
import { CLUSTER_WIDE_KINDS, isDispensable } from "./kube/kinds.ts";
import { createReferenced } from "./kube/referenced.ts";
import { startReflector, type Reflector, type ReflectorState } from "./kube/reflector.ts";
import { createServiceDirectory } from "./kube/services.ts";
import { endedOnThisMachine, processIdentity, startLeaderElection } from "./lease.ts";
import { errorText, type Log } from "./log.ts";
import { createHold } from "./hold.ts";
import { createLoop } from "./loop.ts";
import type { Registry } from "./metrics.ts";
import { createLastGood } from "./last-good/keeper.ts";
import { createAccount } from "./replicas/account.ts";
import { replicaAddress } from "./replicas/address.ts";
import { createShare } from "./replicas/share.ts";
import { servingName, startServingCertificate } from "./serving-certificate.ts";
import { createPeers } from "./peers.ts";
import { createOwners } from "./status/owners.ts";
import { createRedactor } from "./status/redact.ts";
import { createStatusWriter, isStatusKind } from "./status/writer.ts";
import { createTokenReviewer } from "./token-review.ts";
import { createTurnedAway } from "./turned-away.ts";
import { xdsMetrics } from "./xds-metrics.ts";

export const CONTROLLER_NAME = "gatewarden.io/gateway-controller";

export interface OperatorParts {
  readonly config: OperatorConfig;
  readonly credentials: Credentials;
  /** PEM of --jwks-ca-file. */
  readonly jwksCaPem: string | undefined;
  readonly createEngine: (options: EngineOptions) => Engine;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Registry;
  /** Called once everything has been evaluated and nobody is served yet: the moment for work that holds up everything. */
  readonly beforeServing?: () => void;
}

export interface Operator {
  readonly metricsPort: number;
  /** Resolves with the xDS port when proxies may connect; rejects when the port cannot be had. */
  readonly serving: Promise<number>;
  /** Lets go of proxies and of the lease, and ends everything. */
  stop(): Promise<void>;
}

/** How long a leader that took over waits for what other replicas have to say, before it writes statuses. */
const SETTLE_MS = 2_000;
/** A start does not wait longer than that for key sets of issuers that do not answer. */
const JWKS_WAIT_MS = 10_000;
const POLL_MS = 10;
const DRAIN_MS = 5_000;

/** Brings everything up; rejects only when the metrics address cannot be had. */
export async function startOperator(parts: OperatorParts): Promise<Operator> {
  const { config, clock, log, metrics } = parts;
  const stopping = new AbortController();
  let waitingFor: string | undefined = "the first list of every kind";
  const health = await startHealthServer(config.metricsAddress, {
    waitingFor: () => waitingFor,
    metrics: () => metrics.render(),
  });
  const requests = metrics.counter("gatewarden_kube_requests_total", "Requests to the API server, by verb and status.");
  const client = createKubeClient(parts.credentials, clock, (verb, status) =>
    requests.add(1, { verb, status: String(status) }),
  );
  const watching = metrics.counter("gatewarden_informer_events_total", "What happened to watches, by kind and event.");
  const counted =
    (kind: string) =>
    (event: string, amount: number): void =>
      watching.add(amount, { kind, event });

  const owners = createOwners();
  const redactor = createRedactor();
  const directory = createServiceDirectory(() => clock.random());
  const turnedAway = createTurnedAway(clock);
  const reviews = metrics.counter("gatewarden_token_reviews_total", "Tokens of proxies, by outcome.");
  const account = createAccount(client);
  const xds: XdsServer = createXdsServer({
    authenticate: createTokenReviewer(client, clock, (outcome) => reviews.add(1, { outcome }), account.username),
    hasStandIn: true,
    acceptReplica: (link) => share.accept(link),
    clock,
    log,
    metrics: xdsMetrics(metrics),
    onChange(gateway, keys) {
      if (keys === "all") publish(peers.recount(gateway));
      statuses.acknowledged(gateway, keys);
      share.changed(gateway, keys);
      lastGood.changed(gateway);
    },
    onRefusedProxy(proxy) {
      const { gateway, node, version, reason, message } = proxy;
      log.warn("a proxy was turned away", { gateway, node, version, reason, error: message });
      turnedAway.note(proxy);
      statuses.acknowledged(gateway, "all");
    },
  });

  const identity = processIdentity(() => clock.random());
  let xdsPort: number | undefined;
  const election = startLeaderElection({
    client,
    clock,
    log,
    namespace: config.namespace,
    name: "gatewarden",
    identity,
    address: () => (xdsPort === undefined ? undefined : replicaAddress(config.xdsAddress.host, xdsPort)),
    hasEnded: endedOnThisMachine,
    // Everybody waits by itself, the longer the longer it was away; the lease is asked for each second.
    onReturn() {
      for (const reflector of reflectors) reflector.wake("returning");
      referenced.wake();
    },
    onChange(leads, after) {
      cancelSettling();
      if (!leads) return;
      serving.resume();
      certificates.resume();
      settled = !after;
      if (after)
        cancelSettling = clock.after(SETTLE_MS, () => {
          settled = true;
          resumeStatuses();
        });
      else resumeStatuses();
      if (waitingFor !== undefined) return;
      infrastructure?.resume();
      lastGood.resume();
    },
  });
  const leads = election.leads;
  // Other replicas come to a new leader within a moment: before that it knows its own proxies only.
  let settled = true;
  let cancelSettling = (): void => undefined;
  const resumeStatuses = (): void => {
    if (waitingFor === undefined && leads() && settled) statuses.resume();
  };

  const share = createShare({
    clock,
    log,
    account,
    identity,
    leads,
    leader: election.leader,
    serverName: servingName(config.namespace),
    caPem: () => serving.caPem(),
    own: { ...xds, turnedAway: (gateway) => turnedAway.last(gateway) },
    onReplicas: (gateway, keys) => statuses.acknowledged(gateway, keys),
    onElsewhere: (gateway) => publish(peers.recount(gateway)),
  });
  metrics.gaugeFrom("gatewarden_replica_links", "Streams between this replica and others.", () => [
    { value: share.links() },
  ]);
  const lastGoodWrites = metrics.counter(
    "gatewarden_last_good_writes_total",
    "Writes of last good configurations, by outcome.",
  );
  const lastGood = createLastGood({
    client,
    clock,
    log,
    namespace: config.namespace,
    leads,
    gateways: () => xds.gateways(),
    snapshot: (gateway) => xds.snapshot(gateway),
    onWrite: (outcome) => lastGoodWrites.add(1, { outcome }),
  });
  const statusWrites = metrics.counter("gatewarden_status_writes_total", "Writes of statuses, by outcome.");
  const statuses = createStatusWriter({
    client,
    clock,
    log,
    controllerName: CONTROLLER_NAME,
    leads: () => leads() && settled,
    owners,
    book: share.book,
    redact: (text) => redactor.redact(text),
    onWrite: (outcome) => statusWrites.add(1, { outcome }),
  });
  const certificateWrites = metrics.counter(
    "gatewarden_certificate_writes_total",
    "Writes of Certificates, by outcome.",
  );
  const certificates = createCertificateWriter({
    client,
    clock,
    log,
    leads,
    onWrite: (outcome) => certificateWrites.add(1, { outcome }),
  });
  const infrastructureWrites = metrics.counter(
    "gatewarden_infrastructure_writes_total",
    "Writes of what Gateways' proxies run as, by outcome.",
  );
  const infrastructure =
    config.infrastructure === undefined
      ? undefined
      : createInfrastructureWriter({
          client,
          clock,
          log,
          namespace: config.namespace,
          leads,
          onWrite: (outcome) => infrastructureWrites.add(1, { outcome }),
        });
  const serving = startServingCertificate({
    client,
    clock,
    log,
    namespace: config.namespace,
    issuer: config.issuer,
    leads,
    onPair({ certPem, keyPem }) {
      const result = xds.setCertificate(certPem, keyPem);
      if (result.ok) log.info("the xDS server shows a new certificate");
      else log.warn("the xDS server keeps its certificate", { error: result.message });
    },
  });

  const engine = parts.createEngine({
    controllerName: CONTROLLER_NAME,
    requirePolicy: config.requirePolicy,
    logDirectory: config.logDirectory,
    ...infrastructureOptions(config),
  });
  const peers = createPeers((gateway) => {
    const { complete, joining } = xds.proxies(gateway);
    return complete + joining + share.elsewhere(gateway);
  });
  const publish = (resources: readonly ResourceChange[], published = (): void => undefined): void => {
    xds.apply(resources).then(published, (error: unknown) => {
      log.error("resources could not be published", { error: errorText(error) });
    });
  };
  const carryOut = (output: Output): void => {
    referenced.update(output.watch.add, output.watch.remove);
    jwks.update(output.jwks.add, output.jwks.remove);
    certificates.update(output.certificates);
    infrastructure?.update(output.infrastructure ?? []);
    hold(output);
  };
  const hold = createHold({
    clock,
    // Before anybody is served nothing is waiting for it, and everything is read anyway.
    reading: () => waitingFor === undefined && referenced.reading((key) => loop.waitsFor(key)),
    publish: (what) => {
      // What the book says of a resource is about its new content only from then on.
      publish([...what.resources, ...peers.update(what)], () => {
        owners.update(what.resources);
        statuses.update(what.statuses);
      });
    },
  });
  const loop = createLoop({ engine, clock, log, metrics, carryOut });
  const onChange = (change: Change): void => {
    redactor.note(change);
    directory.note(change);
    loop.put(change);
  };
  const referenced = createReferenced({ client, clock, log, onChange, onEvent: counted("referenced") });
  const stored = await openStoredKeySets(client, clock, log, config.namespace, leads);
  const fetches = metrics.counter("gatewarden_jwks_fetches_total", "Fetches of key sets, by outcome.");
  const fetch = createFetch({
    clock,
    guard: createAddressGuard(config.jwksAllowCidrs),
    backendGuard: createAddressGuard(config.jwksAllowCidrs, true),
    ...(parts.jwksCaPem === undefined ? {} : { extraCaPem: parts.jwksCaPem }),
  });
  const jwks = createJwksKeeper({
    clock,
    log,
    store: stored,
    onChange,
    onFetch: (outcome) => fetches.add(1, { outcome }),
    fetch(request, signal) {
      const { backend } = request;
      const endpoint = backend === undefined ? undefined : directory.endpoint(backend.host, backend.port);
      return fetch(endpoint === undefined ? request : { ...request, backend: endpoint }, signal);
    },
  });

  const states = new Map<Kind, ReflectorState>();
  const reflectors: readonly Reflector[] = CLUSTER_WIDE_KINDS.map((kind) =>
    startReflector({
      kind,
      client,
      clock,
      log,
      events: {
        onChange,
        onEvent: counted(kind.kind),
        onState: (state) => states.set(kind.kind, state),
        ...(isStatusKind(kind.kind) ? { onRaw: (key, object) => statuses.seen(key, object) } : {}),
      },
    }),
  );
  metrics.gaugeFrom("gatewarden_referenced_objects", "Secrets and ConfigMaps that are watched by name.", () => [
    { value: referenced.watched() },
  ]);
  metrics.gaugeFrom("gatewarden_status_queue", "Statuses that wait to be written.", () => [
    { value: statuses.waiting() },
  ]);
  metrics.gaugeFrom("gatewarden_leads", "1 where this process writes.", () => [{ value: leads() ? 1 : 0 }]);
  const listed = (): boolean =>
    CLUSTER_WIDE_KINDS.every(({ kind }) => {
      const state = states.get(kind);
      return state === "synced" || isDispensable(kind, state);
    });
  const poll = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
    while (!(await condition()) && !stopping.signal.aborted) await sleep(clock, POLL_MS, stopping.signal);
  };

  const recall = (gateway: string, snapshot: Buffer): void => {
    try {
      xds.seed(gateway, snapshot);
    } catch (error) {
      log.warn("a last good configuration is not understood", { gateway, error: errorText(error) });
    }
  };

  /** Rules R26: nothing is served before everything was read and evaluated, so no proxy ever gets less than it had. */
  const comeUp = async (): Promise<number> => {
    const began = clock.now();
    const kept = lastGood.load();
    await poll(listed);
    for (const { gateway, snapshot } of await kept) recall(gateway, snapshot);
    waitingFor = "the objects that policies and routes refer to";
    // Routes once everything that policies refer to is there: each is made once then, instead of closed first and open after.
    await loop.catchUp(new Set<Kind>(["HTTPRoute"]));
    await poll(() => referenced.pending() === 0);
    await loop.catchUp();
    const jwksUntil = clock.now() + JWKS_WAIT_MS;
    await poll(async () => {
      if (loop.waiting() > 0) await loop.catchUp();
      const keySets = jwks.pending() === 0 || clock.now() > jwksUntil;
      return referenced.pending() === 0 && keySets && loop.waiting() === 0;
    });
    waitingFor = "the certificate of the xDS server";
    loop.start();
    await poll(serving.ready);
    if (stopping.signal.aborted) throw new Error("stopped");
    // Ready with the port: whoever sees the one may use the other.
    await xds.apply([]);
    parts.beforeServing?.();
    const port = await xds.listen(addressText(config.xdsAddress));
    waitingFor = undefined;
    log.info("proxies may connect", { port, startMs: clock.now() - began });
    xdsPort = port;
    share.start();
    resumeStatuses();
    if (leads()) {
      infrastructure?.resume();
      lastGood.resume();
    }
    return port;
  };
  return {
    metricsPort: health.port,
    serving: comeUp(),
    async stop() {
      waitingFor = "nothing: it is stopping";
      stopping.abort(new Error("stopped"));
      loop.stop();
      cancelSettling();
      await lastGood.stop(); // proxies are still connected: what they acknowledged is kept
      await share.stop();
      await xds.stop(DRAIN_MS);
      await Promise.all([
        statuses.stop(),
        certificates.stop(),
        infrastructure?.stop(),
        serving.stop(),
        jwks.stop(),
        stored.stop(),
      ]);
      await Promise.all([referenced.stop(), ...reflectors.map((reflector) => reflector.stop())]);
      await election.stop();
      client.close();
      await health.stop();
    },
  };
}
