/**
 * One section of all policies on the way to a rule, made one value: Defaults are inherited, replaced or merged from far to near, then every
 * Override is a floor under what is nearer, the nearest first, so that the farthest has the last word (api.md "Composition" 2 and 4).
 */
import type { ParsedApiPolicy } from "../kinds/api-policy.ts";
import type { Level, Precedence, Source } from "../slice.ts";
import type { AnySlice } from "../slices.ts";
import { auditFault, type Closed, type Layer, levelFault, sourceOf, type StateOf, winnerOf } from "./layer.ts";

export interface Valued {
  readonly model: unknown;
  readonly sources: readonly [Source, ...Source[]]; // all that took part, nearest first
}

export interface Fold {
  readonly value: Valued | undefined;
  readonly closed: readonly Closed[];
  /** Policies that had a part in it, also those that closed it. */
  readonly policies: readonly ParsedApiPolicy[];
}

export const nothingFolded: Fold = { value: undefined, closed: [], policies: [] };

interface Part {
  readonly at: number; // index of its layer
  readonly value: Valued;
}

/** `layers` far to near. */
export function foldSection(
  slice: AnySlice,
  layers: readonly Layer[],
  stateOf: StateOf,
  mode: ParsedApiPolicy["mode"],
): Fold {
  const defaults: Part[] = [];
  const floors: Part[] = [];
  let closed: readonly (Closed & { readonly until: Until })[] = [];
  const policies: ParsedApiPolicy[] = [];

  function take(at: number, layer: Layer, precedence: Precedence): void {
    const winner = winnerOf(slice.key, layer, mode, precedence);
    if (winner === undefined || (mode === "Audit" && auditFault(slice, winner) !== undefined)) return;
    const source = sourceOf(winner, slice.key, layer.level);
    const misplaced = levelFault(slice, winner, layer.level);
    const state = misplaced ?? stateOf(winner, slice);
    if (state.ok) {
      (precedence === "Override" ? floors : defaults).push({ at, value: { model: state.model, sources: [source] } });
      if (slice.inherits?.(state.model) === true) {
        policies.push(winner);
        return; // it takes nothing's place
      }
      const replaced = slice.replaces?.(state.model) === true;
      closed = closed.filter(({ until }) => until === "Never" || (until === "Replaced" && !replaced));
    } else {
      // Left out: what is farther stays in force. Not so with a key that nobody here knows: it may ask for anything.
      const tolerated = !slice.closes || (winner.failurePolicy === "Open" && slice.mayOpen);
      const unknown = state.problems.some((problem) => problem.unknown === true);
      if (mode === "Audit" || (tolerated && !unknown)) return;
      const detail = state.problems[0]?.message ?? "the section is broken";
      // A floor that cannot be made out is one that nobody may go below: no nearer policy opens it again.
      const always = precedence === "Override" || misplaced !== undefined || bindsListener(slice, layer.level);
      closed = [
        ...closed.filter((one) => one.until !== "Written"),
        { policy: source.text, level: source.level, detail, until: untilOf(slice, always) },
      ];
    }
    policies.push(winner);
  }

  for (const [at, layer] of layers.entries()) {
    take(at, layer, "Override");
    take(at, layer, "Default");
  }
  return { value: compose(slice, defaults, floors), closed, policies };
}

function compose(slice: AnySlice, defaults: readonly Part[], floors: readonly Part[]): Valued | undefined {
  const merged = defaults.reduce<Valued | undefined>((far, { value }) => nearer(slice, far, value), undefined);
  const nearest = floors.at(-1);
  if (nearest === undefined) return merged;
  // Farther Defaults do not stand on it: it replaces them, or merges with them, as a Default would.
  const inherits = slice.inherits?.(nearest.value.model) === true;
  const under = merged !== undefined && (inherits || defaults.some(({ at }) => at >= nearest.at));
  const first = under ? tighten(slice, nearest.value, merged) : nearer(slice, merged, nearest.value);
  return floors.slice(0, -1).reduceRight((value, floor) => tighten(slice, floor.value, value), first);
}

function nearer(slice: AnySlice, far: Valued | undefined, near: Valued): Valued {
  if (far === undefined || slice.merge === undefined) return near;
  return { model: slice.merge(far.model, near.model), sources: [...near.sources, ...far.sources] };
}

function tighten(slice: AnySlice, floor: Valued, near: Valued): Valued {
  if (slice.tighten === undefined) return floor;
  const { model, overridden, partly } = slice.tighten(floor.model, near.model);
  if (overridden !== undefined && partly !== true) return { model, sources: floor.sources };
  return { model, sources: [...near.sources, ...floor.sources] };
}

/** When a nearer policy opens again what a broken section closed: when it writes the section, or only when nothing of the farther one is left. */
type Until = "Written" | "Replaced" | "Never";

function untilOf(slice: AnySlice, always: boolean): Until {
  if (always) return "Never";
  return slice.merge === undefined ? "Written" : "Replaced";
}

/** What is broken at the listener is broken for every route behind it: no nearer policy mends it. */
function bindsListener(slice: AnySlice, level: Level): boolean {
  return slice.listenerSettings.length > 0 && (level === "Gateway" || level === "Listener");
}
