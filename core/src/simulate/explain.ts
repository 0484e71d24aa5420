/** Which policies hold for a request, section by section: the value, who wrote it, and whether anybody nearer could change it. */
import type { Effective } from "../attach/policies.ts";
import type { OpenEngine } from "../engine.ts";
import { idOf } from "../kinds/meta.ts";
import type { Level, SectionKey, Source } from "../slice.ts";
import { listenerSettings } from "../translate/gateway-stage.ts";
import { decideRule } from "../translate/rule.ts";
import type { JsonValue } from "../world.ts";
import { locate } from "./locate.ts";
import type { SimRequest } from "./request.ts";

export interface ExplainedSection {
  readonly section: SectionKey;
  /** Without secrets. */
  readonly value: JsonValue;
  /** `namespace/name` of the nearest policy that wrote it; empty: nobody. */
  readonly from: string;
  readonly level?: Level;
  /** Own: of the route or its rule. Enforced: an Override has a part in it, and nobody nearer can loosen it. */
  readonly how: "own" | "inherited" | "enforced" | "default";
  /** All policies that took part, nearest first. */
  readonly sources: readonly { readonly policy: string; readonly level: Level; readonly precedence: string }[];
  /** Evaluated beside what is enforced; denies nothing. */
  readonly audit?: true;
}

export interface Explanation {
  readonly gateway: string; // namespace/name/listener; empty: none
  readonly route: string; // namespace/name/rule; empty: none
  readonly sections: readonly ExplainedSection[];
  /** What every request of the rule gets, whatever its policies say: the rule or a policy is broken, or nobody says who may call. */
  readonly answer?: {
    readonly status: number;
    readonly code: string;
    readonly policy: string;
    readonly reason: string;
  };
}

export function explain(open: OpenEngine, request: SimRequest): Explanation {
  const place = locate(open, request);
  if (!place.ok)
    return { gateway: place.gateway, route: place.route, sections: [], answer: { policy: "", ...place.refused } };
  const { found, arrival, gateway, route } = place;
  const { input } = found;
  const settings = listenerSettings(arrival.own, arrival.entry, open.reads.hosts).filter(
    ({ slice }) => slice.key === "clientIP" || slice.key === "transport",
  );
  const ofRoute = input.verdict.sections.filter(({ slice }) => !settings.some((one) => one.slice.key === slice.key));
  const decision = decideRule(input);
  const written = [...settings, ...ofRoute].flatMap((effective) => sectionsOf(open, effective));
  return {
    gateway,
    route,
    sections: [...written, ...defaults(written, input.requirePolicy)],
    ...(decision.answer === undefined
      ? {}
      : {
          answer: {
            status: decision.answer.status,
            code: decision.answer.code,
            policy: decision.answer.policy ?? "",
            reason: decision.answer.detail,
          },
        }),
  };
}

function sectionsOf(open: OpenEngine, { slice, enforced, audited }: Effective): readonly ExplainedSection[] {
  return [
    ...(enforced === undefined ? [] : [explained(open, slice, enforced.model, enforced.sources)]),
    ...(audited === undefined
      ? []
      : [{ ...explained(open, slice, audited.model, audited.sources), audit: true as const }]),
  ];
}

function explained(
  open: OpenEngine,
  slice: Effective["slice"],
  model: unknown,
  sources: readonly [Source, ...Source[]],
): ExplainedSection {
  const [nearest] = sources;
  const written = open.objects.policies.get(idOf(nearest))?.sections[slice.key] as JsonValue | undefined;
  return {
    section: slice.key,
    value: slice.shown?.(model) ?? written ?? null,
    from: idOf(nearest),
    level: nearest.level,
    how: howOf(sources),
    sources: sources.map((source) => ({ policy: idOf(source), level: source.level, precedence: source.precedence })),
  };
}

function howOf(sources: readonly Source[]): ExplainedSection["how"] {
  if (sources.some(({ precedence }) => precedence === "Override")) return "enforced";
  return sources[0]?.level === "Route" || sources[0]?.level === "Rule" ? "own" : "inherited";
}

/** What holds where nobody writes anything, of the sections for which that is not nothing. */
function defaults(written: readonly ExplainedSection[], requirePolicy: boolean): readonly ExplainedSection[] {
  const values: readonly (readonly [SectionKey, JsonValue])[] = [
    [
      "authentication",
      requirePolicy
        ? "nobody may call: 403 until a policy says who may"
        : "everybody may call: the Gateway does not require a policy",
    ],
    ["clientIP", "the TCP peer, whatever x-forwarded-for says"],
  ];
  return values
    .filter(([section]) => !written.some((one) => one.section === section && one.audit !== true))
    .map(([section, value]) => ({ section, value, from: "", how: "default", sources: [] }));
}
