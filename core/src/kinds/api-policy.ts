/**
 * ApiPolicy: schema of its spec, and the parser. Parsing never throws and never loses what a broken policy must close: its targets survive
 * whatever else is wrong, and problems say which section they break (api.md "Composition" 9).
 */
import * as z from "zod";
import type { Problem } from "../problems.ts";
import { later } from "../schema/later.ts";
import { atomicList } from "../schema/list.ts";
import { fieldPath, invalid, parse, unknownField } from "../schema/parse.ts";
import { type Immutable, defaultsTo, rule } from "../schema/rule.ts";
import { name } from "../schema/text.ts";
import type { SectionKey } from "../slice.ts";
import type { KubeObject, ObjectKey } from "../world.ts";
import { fields } from "./json.ts";
import { type ObjectIdentity, identityOf } from "./object.ts";
import { SECTION_KEYS, SECTIONS, type SectionSpecs } from "./sections.ts";
import { type Shared, unshared } from "./shared.ts";

export const DEFAULTS = { mode: "Enforce", failurePolicy: "Closed", precedence: "Default" } as const;

const MAX_TARGETS = 16;

/** API group of each kind that a policy may name. */
export const TARGET_GROUPS = {
  Gateway: "gateway.networking.k8s.io",
  HTTPRoute: "gateway.networking.k8s.io",
  GRPCRoute: "gateway.networking.k8s.io",
  Service: "",
  Namespace: "",
} as const;
export type TargetKind = keyof typeof TARGET_GROUPS;
const TARGET_KINDS = Object.keys(TARGET_GROUPS) as [TargetKind, ...TargetKind[]];

function targetRef() {
  const shape = z.strictObject({
    group: defaultsTo(z.enum(["gateway.networking.k8s.io", ""]), "the kind's")
      .describe("API group of the kind; empty for Service and Namespace.")
      .exactOptional(),
    kind: z.enum(TARGET_KINDS).describe("Kind of the target."),
    name: name()
      .describe("Name of the target, in the policy's namespace; of a Namespace only its own.")
      .exactOptional(),
    sectionName: name()
      .describe("Listener of a Gateway, rule of a route, port of a Service; absent: all of it.")
      .exactOptional(),
  });
  const grouped = rule(shape, {
    cel: "!has(self.group) || (self.group == '') == (self.kind in ['Service', 'Namespace'])",
    message: "has a group that is not its kind's",
    fix: "write gateway.networking.k8s.io for Gateway, HTTPRoute and GRPCRoute, and '' for Service and Namespace",
    check: ({ group, kind }) => group === undefined || group === TARGET_GROUPS[kind],
  });
  const named = rule(grouped, {
    cel: "has(self.name) || self.kind == 'Namespace'",
    message: "names nothing",
    fix: "write the target's name",
    check: (target) => target.name !== undefined || target.kind === "Namespace",
  });
  return rule(named, {
    cel: "!has(self.sectionName) || self.kind != 'Namespace'",
    message: "is a part of a Namespace",
    fix: "remove sectionName",
    check: ({ sectionName, kind }) => sectionName === undefined || kind !== "Namespace",
  });
}

function targetRefs() {
  return rule(atomicList(targetRef(), MAX_TARGETS), {
    cel:
      "self.all(a, self.exists_one(b, a.kind == b.kind && (has(a.name) ? a.name : '') == (has(b.name) ? b.name : '') && " +
      "(has(a.sectionName) ? a.sectionName : '') == (has(b.sectionName) ? b.sectionName : '')))",
    message: "names a target twice",
    fix: "keep one of them",
    check: (targets) =>
      new Set(targets.map(({ kind, name = "", sectionName = "" }) => `${kind}/${name}/${sectionName}`)).size ===
      targets.length,
  });
}

const FIELDS = {
  targetRefs: later(() => targetRefs().describe("What the policy is about, in its own namespace.")),
  mode: later(() =>
    defaultsTo(z.enum(["Enforce", "Audit"]), DEFAULTS.mode).describe(
      "Audit: evaluated beside what is enforced; `wouldDeny` is logged, nothing denied.",
    ),
  ),
  failurePolicy: later(() =>
    defaultsTo(z.enum(["Closed", "Open"]), DEFAULTS.failurePolicy).describe(
      "What calls get while a section is broken: 503, or no such section. Open counts for rateLimit only.",
    ),
  ),
  precedence: later(() =>
    defaultsTo(z.enum(["Default", "Override"]), DEFAULTS.precedence).describe(
      "Default: nearer policies may replace its sections. Override: they can only tighten them.",
    ),
  ),
} as const;

/** The whole spec, for the CRD and the reference; parsing goes field by field. */
export const specSchema = later(() =>
  z
    .strictObject({
      targetRefs: FIELDS.targetRefs(),
      mode: FIELDS.mode().exactOptional(),
      failurePolicy: FIELDS.failurePolicy().exactOptional(),
      precedence: FIELDS.precedence().exactOptional(),
      authentication: SECTIONS.authentication().exactOptional(),
      authorization: SECTIONS.authorization().exactOptional(),
      rateLimit: SECTIONS.rateLimit().exactOptional(),
      mtls: SECTIONS.mtls().exactOptional(),
      transport: SECTIONS.transport().exactOptional(),
      allowlist: SECTIONS.allowlist().exactOptional(),
      denylist: SECTIONS.denylist().exactOptional(),
      clientIP: SECTIONS.clientIP().exactOptional(),
      logging: SECTIONS.logging().exactOptional(),
      // The server cannot count sections (it does not see unknown ones), only fields: something besides targetRefs.
    })
    .meta({ minProperties: 2 }),
);
const KEYS: readonly string[] = [...Object.keys(FIELDS), ...SECTION_KEYS];

type WrittenTarget = Immutable<z.output<ReturnType<typeof FIELDS.targetRefs>>>[number];

/** A target with nothing left out. */
export interface TargetRef {
  readonly group: string;
  readonly kind: TargetKind;
  readonly name: string;
  readonly sectionName: string | undefined;
}

/** `section` is the one that is broken; without it the policy as a whole is. */
export interface PolicyProblem extends Problem {
  readonly section?: SectionKey;
}

export interface ParsedApiPolicy extends ObjectIdentity {
  readonly key: ObjectKey & { readonly kind: "ApiPolicy" };
  /** Also of a policy that is broken: this is what it closes. */
  readonly targetRefs: readonly TargetRef[];
  readonly mode: "Enforce" | "Audit";
  readonly failurePolicy: "Closed" | "Open";
  readonly precedence: "Default" | "Override";
  /** The sections without problems. */
  readonly sections: SectionSpecs;
  /** The sections that are written and cannot be read; each has its problems below. */
  readonly broken: readonly SectionKey[];
  readonly problems: readonly PolicyProblem[];
}

export function parseApiPolicy(object: KubeObject, shared: Shared = unshared): ParsedApiPolicy {
  const identity = identityOf("ApiPolicy", object);
  const problems: PolicyProblem[] = [];
  // The API server drops nulls of fields that it knows.
  const written = Object.entries(fields(object.spec));
  const spec = new Map(written.filter(([key, value]) => value !== null || !KEYS.includes(key)));
  if (spec.size === 0) problems.push(invalid("spec", "is missing or empty", "write targetRefs and a section"));

  const take = <S extends z.ZodType>(field: string, schema: () => S, otherwise: z.output<S>): z.output<S> => {
    if (!spec.has(field)) return otherwise;
    const parsed = parse(schema(), spec.get(field), fieldPath("spec", [field]));
    if (parsed.ok) return parsed.value;
    problems.push(...parsed.problems);
    return otherwise; // every default is the stricter word
  };
  const mode = take("mode", FIELDS.mode, DEFAULTS.mode);
  const failurePolicy = take("failurePolicy", FIELDS.failurePolicy, DEFAULTS.failurePolicy);
  const precedence = take("precedence", FIELDS.precedence, DEFAULTS.precedence);
  const targets = parseTargets(spec.get("targetRefs"), identity.key.namespace);
  if (spec.size > 0) problems.push(...targets.problems);

  const { sections, broken, problems: sectionProblems } = parseSections(spec, shared);
  problems.push(...sectionProblems);
  const unknown = [...spec.keys()].filter((key) => !KEYS.includes(key));
  problems.push(...unknown.slice(0, MAX_UNKNOWN).map((key) => unknownField(fieldPath("spec", [key]))));
  if (spec.size > 0 && Object.keys(sections).length + broken.length + unknown.length === 0) {
    problems.push(invalid("spec", "holds no section", `write at least one of ${SECTION_KEYS.join(", ")}`));
  }
  return { ...identity, targetRefs: targets.refs, mode, failurePolicy, precedence, sections, broken, problems };
}

const MAX_UNKNOWN = 16;

function parseSections(
  spec: ReadonlyMap<string, unknown>,
  shared: Shared,
): Pick<ParsedApiPolicy, "sections" | "broken" | "problems"> {
  const sections: Record<string, unknown> = {};
  const broken: SectionKey[] = [];
  const problems: PolicyProblem[] = [];
  for (const [key, schema] of Object.entries(SECTIONS)) {
    const section = key as SectionKey;
    if (!spec.has(section)) continue;
    const written = spec.get(section);
    const parsed = shared.once(section, written, () => parse(schema() as z.ZodType, written, `spec.${section}`));
    if (parsed.ok) {
      sections[section] = parsed.value;
    } else {
      broken.push(section);
      problems.push(...parsed.problems.map((problem) => ({ ...problem, section })));
    }
  }
  return { sections: sections, broken, problems };
}

interface Targets {
  readonly refs: readonly TargetRef[];
  readonly problems: readonly Problem[];
}

/** Targets that can be made out are kept even from a list with problems. */
function parseTargets(written: unknown, namespace: string): Targets {
  const parsed = parse(FIELDS.targetRefs(), written, "spec.targetRefs");
  const legible = parsed.ok ? parsed.value : legibleTargets(written);
  const elsewhere = legible.flatMap((ref, index) =>
    ref.kind === "Namespace" && ref.name !== undefined && ref.name !== namespace
      ? [invalid(`spec.targetRefs[${index}].name`, "is another namespace", `remove it, or write ${namespace}`)]
      : [],
  );
  const refs = legible
    .filter((ref) => ref.kind !== "Namespace" || ref.name === undefined || ref.name === namespace)
    .map(({ kind, name = namespace, sectionName }) => ({ group: TARGET_GROUPS[kind], kind, name, sectionName }));
  return { refs, problems: [...(parsed.ok ? [] : parsed.problems), ...elsewhere] };
}

function legibleTargets(written: unknown): readonly WrittenTarget[] {
  if (!Array.isArray(written)) return [];
  const item = FIELDS.targetRefs().element;
  return written.slice(0, MAX_TARGETS).flatMap((entry: unknown) => {
    // Without its unknown fields: a misspelt sectionName closes the whole target rather than nothing.
    const known = Object.fromEntries(Object.entries(fields(entry)).filter(([key]) => Object.hasOwn(item.shape, key)));
    const parsed = item.safeParse(known);
    return parsed.success ? [parsed.data] : [];
  });
}
