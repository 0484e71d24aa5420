/** Section `logging` (README.md beside this file). */
import type { Problem } from "../../problems.ts";
import type { At, Lookup, Resolution, Slice } from "../../slice.ts";
import type { Model, Sink } from "./model.ts";
import { DEFAULTS, schema, type Spec } from "./schema.ts";
import { tighten } from "./tighten.ts";
import { listener, route } from "./translate.ts";

export const logging: Slice<"logging", Spec, Model> = {
  key: "logging",
  schema,
  levels: ["Gateway", "Listener", "Namespace", "Route", "Rule"],
  listenerSettings: ["sinks"],
  mayOpen: false,
  closes: false,
  audit: "logging denies nothing, so there is nothing to try beside it",
  validate: () => [],
  resolve,
  tighten,
  route,
  listener,
};

function resolve(spec: Spec, at: At, lookup: Lookup): Resolution<Model> {
  const problems: Problem[] = [];
  const sinks = (spec.sinks ?? []).flatMap((sink, index): readonly Sink[] => {
    if (sink.type === "Stdout") return [{ name: sink.name, type: "Stdout" }];
    if (sink.file !== undefined) return [{ name: sink.name, type: "File", file: sink.file.name }];
    if (sink.otlp === undefined) return [];
    const { namespace } = at.source;
    const ref = sink.otlp.backendRef;
    const found = lookup.backend(ref, { kind: "ApiPolicy", namespace });
    const authority = `${ref.name}.${ref.namespace ?? namespace}.svc:${String(ref.port)}`;
    if (found.ok) return [{ name: sink.name, type: "OTLP", cluster: found.value.cluster, authority }];
    problems.push({ ...found.problem, path: `${at.path}.sinks[${String(index)}].otlp.backendRef` });
    return [];
  });
  const [problem, ...others] = problems;
  if (problem !== undefined) return { ok: false, problems: [problem, ...others] };
  const { calls = DEFAULTS.calls, sampling = DEFAULTS.sampling, headers = [], fields = {} } = spec;
  return { ok: true, model: { calls, sampling, headers, fields, sinks } };
}
