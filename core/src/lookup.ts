/** What slices may read of the world while they resolve, and the resolution of sections itself. Every read is recorded by the graph. */
import { clusterName } from "./attach/backend.ts";
import { type SectionState, writes } from "./attach/layer.ts";
import type { Clock } from "./clock.ts";
import { joinKey } from "./key.ts";
import type { ParsedApiPolicy } from "./kinds/api-policy.ts";
import { valueOf } from "./kinds/core/value.ts";
import type { Failed, Graph } from "./memo.ts";
import type { Objects } from "./objects.ts";
import { optInLine } from "./opt-in.ts";
import type { Problem, Reason } from "./problems.ts";
import type { Consumer, Found, ConsumerSelector, Lookup, SectionKey } from "./slice.ts";
import type { AnySlice } from "./slices.ts";
import type { ClusterUse } from "./translate/cluster.ts";
import type { Views } from "./views.ts";
import type { JwksSource } from "./world.ts";

export interface LookupParts {
  readonly objects: Objects;
  readonly clock: Clock;
  backend: Views["backend"];
  readonly consumers: (namespace: string, selector: ConsumerSelector | undefined) => readonly Consumer[];
  readonly recognises: Lookup["recognises"];
  readonly grants: Lookup["grants"];
  readonly failed: Failed;
  /** Says what the shell has to keep fetched under the id that is read. */
  readonly source: (source: JwksSource) => void;
}

/** `used` hears of every backend that is looked up. */
export function createLookup(parts: LookupParts, used: (cluster: ClusterUse) => void = () => undefined): Lookup {
  const { objects, clock } = parts;
  return {
    value(kind, namespace, name, key) {
      const stored = objects.values.get(`${kind}/${namespace}/${name}`);
      const what = `${kind} ${namespace}/${name}`;
      if (stored === undefined) return missing("RefNotFound", `${what} does not exist`, `create it with key ${key}`);
      // The message is the mend and nothing else, for pasting.
      if (stored.denied) return missing("RefNotPermitted", optInLine(namespace));
      const value = valueOf(stored, key);
      if (value === undefined) return missing("InvalidRef", `${what} has no key ${key}`, `add key ${key}`);
      return { ok: true, value };
    },
    jwks(source) {
      parts.source(source);
      return objects.jwks.get(source.id);
    },
    consumers: (namespace, selector) => parts.consumers(namespace, selector),
    recognises: (namespace) => parts.recognises(namespace),
    grants: (namespace, policy, rule) => parts.grants(namespace, policy, rule),
    backend(ref, from) {
      const namespace = ref.namespace ?? from.namespace;
      const found = parts.backend(
        { group: "", kind: "Service", name: ref.name, namespace, port: ref.port },
        { group: "gatewarden.io", ...from },
      );
      if (!found.ok)
        return missing(found.reason === "RefNotPermitted" ? "RefNotPermitted" : "RefNotFound", found.message);
      const cluster = clusterName(found.service, found.port.port, "grpc");
      used({ name: cluster, service: found.service, port: found.port, grpc: true });
      return { ok: true, value: { cluster, host: `${ref.name}.${namespace}.svc`, port: found.port.port } };
    },
    get nowMs() {
      return clock.nowMs();
    },
    until: (epochMs) => clock.until(epochMs),
  };
}

function missing<T>(reason: Reason, message: string, fix?: string): Found<T> {
  return { ok: false, problem: { reason, path: "", message, ...(fix === undefined ? {} : { fix }) } };
}

/** The state of a section that a policy writes; of another one it is broken without a problem. */
export type SectionOf = (policy: string, section: SectionKey) => SectionState;

/** The sections of a policy with their references resolved: together, since a policy has few and there are thousands of policies. */
export function createSections(graph: Graph, parts: LookupParts, slices: readonly AnySlice[]): SectionOf {
  function evaluate(id: string, policy: ParsedApiPolicy, slice: AnySlice): SectionState {
    const spec = policy.sections[slice.key];
    if (spec === undefined) return broken(policy.problems.filter((problem) => problem.section === slice.key));
    const at = {
      source: {
        namespace: policy.key.namespace,
        name: policy.key.name,
        uid: policy.uid,
        generation: policy.generation,
        section: slice.key,
        level: levelOf(policy.targetRefs),
        precedence: policy.precedence,
        text: `${id}#${slice.key}`,
      },
      path: `spec.${slice.key}`,
      audit: policy.mode === "Audit",
    } as const;
    const found = slice.validate(spec as never, at);
    const errors = found.filter(({ severity }) => severity !== "warning");
    if (errors.length > 0) return broken(errors);
    const clusters: ClusterUse[] = [];
    const resolution = slice.resolve(
      spec as never,
      at,
      createLookup(parts, (cluster) => clusters.push(cluster)),
    );
    if (!resolution.ok) return broken(resolution.problems);
    return { ok: true, model: resolution.model, warnings: [...found, ...(resolution.warnings ?? [])], clusters };
  }

  const resolved = graph.fading<Partial<Readonly<Record<SectionKey, SectionState>>>>(
    "sections",
    (id) => {
      const policy = parts.objects.policies.get(id);
      const states: Partial<Record<SectionKey, SectionState>> = {};
      if (policy === undefined) return states;
      for (const slice of slices) {
        if (!writes(policy, slice.key)) continue;
        try {
          states[slice.key] = evaluate(id, policy, slice);
        } catch (error) {
          parts.failed("sections", joinKey(id, slice.key), error);
          states[slice.key] = broken([
            { reason: "Invalid", path: "spec", message: "this section cannot be evaluated: a fault of Gatewarden" },
          ]);
        }
      }
      return states;
    },
    {},
  );
  return (policy, section) => resolved.get(policy)[section] ?? broken([]);
}

function broken(problems: readonly Problem[]): SectionState {
  return { ok: false, problems };
}

/** A policy is resolved once for all its targets: the farthest of them. */
function levelOf(
  refs: readonly { readonly kind: string; readonly sectionName: string | undefined }[],
): "Gateway" | "Listener" | "Namespace" | "Route" | "Rule" {
  const has = (kind: string, section: boolean): boolean =>
    refs.some((ref) => ref.kind === kind && (ref.sectionName !== undefined) === section);
  if (has("Gateway", false)) return "Gateway";
  if (has("Gateway", true)) return "Listener";
  if (has("Namespace", false)) return "Namespace";
  return has("HTTPRoute", false) ? "Route" : "Rule";
}
