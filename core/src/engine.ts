/** The core as the shell calls it: changes in, differences out (world.ts). Owner of the graph; everything else is a function of the world. */
import { createClock } from "./clock.ts";
import { type Consumers, createConsumers } from "./consumers/view.ts";
import { createGrants } from "./grants/view.ts";
import { createInfrastructure } from "./infrastructure/stage.ts";
import { createJwksSources } from "./jwks-sources.ts";
import { createLookup, createSections, type LookupParts } from "./lookup.ts";
import { compareText, idOf } from "./kinds/meta.ts";
import { createGraph, type Failed } from "./memo.ts";
import { createObjectStore, type Objects } from "./objects.ts";
import { createOutbox } from "./outbox.ts";
import type { AnySlice } from "./slices.ts";
import { slices as allSlices } from "./slices.ts";
import { createStatuses } from "./status/stage.ts";
import { createBackendTls } from "./translate/backend-tls.ts";
import { isOfConsumers } from "./translate/owner.ts";
import { createPipeline, type PipelineReads, RANK } from "./translate/pipeline.ts";
import { createWiring, type Wiring } from "./translate/wiring.ts";
import { createViews, policyId, type Views } from "./views.ts";
import { createWatchList } from "./watch-list.ts";
import type { Change, Engine, EngineFault, EngineOptions, Output, ResourceType } from "./world.ts";

/** `slices` stands for the table in tests of the pipeline. */
export function createEngine(options: EngineOptions, slices: readonly AnySlice[] = allSlices): Engine {
  return openEngine(options, slices).engine;
}

/** An engine with what its outputs were made of, for tools that look instead of serving (lint, simulate). Read it after `apply`, never during. */
export interface OpenEngine {
  readonly engine: Engine;
  readonly views: Views;
  readonly objects: Objects;
  readonly consumers: Consumers;
  readonly wiring: Wiring;
  readonly reads: PipelineReads;
  /** `namespace/name` of every Gateway, also of other classes. */
  readonly gatewayIds: () => readonly string[];
}

export function openEngine(options: EngineOptions, slices: readonly AnySlice[] = allSlices): OpenEngine {
  const faults: EngineFault[] = [];
  const failed: Failed = (stage, key, error) => {
    faults.push({ stage, key, message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  };
  const graph = createGraph(failed);
  const watch = createWatchList();
  const jwks = createJwksSources(graph, () => objects);
  const { objects, put } = createObjectStore(graph, { value: watch.observe, jwks: jwks.observe });
  const clock = createClock(graph);
  const outbox = createOutbox(standsAlone);
  const wiring = createWiring(graph);
  const views = createViews(
    graph,
    objects,
    options.controllerName,
    slices,
    (policy, slice) => sections(policyId(policy), slice.key),
    options.infrastructure !== undefined,
  );
  const lookupParts: LookupParts = {
    objects,
    clock,
    backend: views.backend,
    consumers: (namespace, selector) => consumers.inNamespace(namespace, selector),
    recognises: (namespace) => consumers.recognises(namespace),
    grants: (namespace, policy, rule) => grants.holders(namespace, policy, rule),
    source: jwks.declare,
    failed,
  };
  const lookup = createLookup(lookupParts);
  const consumers = createConsumers(graph, objects, lookup);
  const grants = createGrants(graph, objects, lookup);
  const sections = createSections(graph, lookupParts, slices);
  const backendTls = createBackendTls(graph, objects);
  const pipeline = createPipeline({
    graph,
    objects,
    views,
    wiring,
    outbox,
    lookup,
    slices,
    failed,
    requirePolicy: options.requirePolicy,
    logDirectory: options.logDirectory,
    backendTls: (service, port) => backendTls.of(service, port),
  });
  if (options.infrastructure !== undefined)
    createInfrastructure({
      graph,
      objects,
      views,
      outbox,
      options: options.infrastructure,
      logDirectory: options.logDirectory,
    });
  createStatuses({
    graph,
    objects,
    views,
    wiring,
    outbox,
    consumers,
    backendTls,
    clock: lookup,
    controllerName: options.controllerName,
    inCluster: options.infrastructure !== undefined,
  });

  const gatewayIds = new Set<string>();
  function noteGateway({ key, object }: Change): void {
    if (object === undefined) gatewayIds.delete(idOf(key));
    else gatewayIds.add(idOf(key));
  }

  let unfinished = false;
  let aheadIsDue = false;
  const engine: Engine = {
    apply(changes, nowMs, spent = never) {
      // Not in between: what ends then may be named by what the outputs so far have left to be sent.
      if (!unfinished) clock.advance(nowMs);
      for (const change of changes) {
        put(change);
        if (change.key.kind === "Gateway") noteGateway(change);
      }
      aheadIsDue ||= unfinished && changes.length > 0;
      unfinished = true;
      if (aheadIsDue) aheadIsDue = !graph.run(spent, RANK.resource);
      if (!graph.run(spent)) return { ...NOTHING, ...interrupted() };
      unfinished = aheadIsDue = false;
      pipeline.ended(nowMs);
      const recomputed = graph.settle(); // first: what nobody reads is neither watched nor waited for
      return {
        ...outbox.take(),
        watch: watch.take(),
        jwks: jwks.take(),
        nextEvaluationMs: clock.next(),
        recomputed,
        faults: faults.splice(0),
      };
    },
  };

  function interrupted(): Pick<Output, "resources" | "watch" | "jwks" | "faults"> {
    return { resources: outbox.takeAhead(), watch: watch.take(), jwks: jwks.take(), faults: faults.splice(0) };
  }

  const { reads } = pipeline;
  return { engine, views, objects, consumers, wiring, reads, gatewayIds: () => [...gatewayIds].sort(compareText) };
}

const never = (): boolean => false;

const NOTHING: Output = {
  resources: [],
  statuses: [],
  certificates: [],
  infrastructure: [],
  watch: { add: [], remove: [] },
  jwks: { add: [], remove: [] },
  nextEvaluationMs: undefined,
  recomputed: {},
  unfinished: true,
};

/**
 * Resources whose new content is right beside the old content of all others: who may come in, what a server shows, where the endpoints are.
 * A listener, scope or cluster may need another one that is not made yet.
 */
function standsAlone(type: ResourceType, name: string): boolean {
  return type === "endpoint" || type === "secret" || (type === "extension" && isOfConsumers(name));
}
