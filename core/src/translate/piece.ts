/** Puts the pieces of all slices for one rule together: one draft per branch, what the host and the Gateway share beside. */
import type { Branch, ExtensionName, Refusal, RoutePiece, SharedEntry, SlotName } from "../slice.ts";
import type { AnySlice } from "../slices.ts";
import type { JsonObject, JsonValue } from "../world.ts";
import { mergeJson } from "./merge-json.ts";

type BranchPiece = Branch["piece"];

/** One Envoy route in the making. */
export interface Draft {
  readonly match: Branch["match"];
  readonly slots: Partial<Readonly<Record<SlotName, JsonObject>>>;
  readonly select: readonly JsonObject[];
  readonly response: readonly JsonObject[];
  readonly identity: readonly JsonObject[];
  readonly rateLimits: readonly JsonObject[];
  readonly limitKey: string | undefined;
  readonly direct: Partial<Readonly<Record<SlotName, JsonObject>>>;
  readonly metadata: Readonly<Record<string, JsonValue>>;
  readonly gateway: readonly (SharedEntry & { readonly slot: ExtensionName })[];
  readonly refuse: Refusal | undefined;
}

export interface SlicePiece {
  readonly slice: AnySlice;
  readonly piece: RoutePiece;
}

const empty: Draft = {
  match: {},
  slots: {},
  select: [],
  response: [],
  identity: [],
  rateLimits: [],
  limitKey: undefined,
  direct: {},
  metadata: {},
  gateway: [],
  refuse: undefined,
};

/** Every combination of the slices' branches, in the order in which they have to be tried. */
export function drafts(pieces: readonly SlicePiece[]): readonly Draft[] {
  return pieces.reduce<readonly Draft[]>(
    (before, { piece }) =>
      before.flatMap((draft) => {
        const common = add(draft, {}, piece);
        return piece.branches === undefined
          ? [common]
          : piece.branches.map((branch) => add(common, branch.match, branch.piece));
      }),
    [empty],
  );
}

function add(draft: Draft, match: Branch["match"], piece: BranchPiece): Draft {
  const slots: Partial<Record<SlotName, JsonObject>> = { ...draft.slots };
  for (const [name, config] of Object.entries(piece.slots ?? {}) as [SlotName, JsonObject][]) {
    const before = slots[name];
    slots[name] = before === undefined ? config : mergeJson(before, config);
  }
  return {
    match: mergeMatch(draft.match, match),
    slots,
    select: [...draft.select, ...(piece.select ?? [])],
    response: [...draft.response, ...(piece.response ?? [])],
    identity: [...draft.identity, ...(piece.identity ?? [])],
    rateLimits: [...draft.rateLimits, ...(piece.rateLimits ?? [])],
    limitKey: draft.limitKey ?? piece.limitKey,
    direct: { ...draft.direct, ...piece.direct },
    metadata: { ...draft.metadata, ...piece.metadata },
    gateway: [...draft.gateway, ...(piece.gateway ?? [])],
    refuse: draft.refuse ?? piece.refuse,
  };
}

function mergeMatch(a: Branch["match"], b: Branch["match"]): Branch["match"] {
  return mergeJson(a, b);
}

/** An enforced piece and what is audited beside it: shadow rules join the slot of the enforced ones. */
export function joinPieces(enforced: RoutePiece, audited: RoutePiece): RoutePiece {
  const slots: Partial<Record<SlotName, JsonObject>> = { ...audited.slots };
  for (const [name, config] of Object.entries(enforced.slots ?? {}) as [SlotName, JsonObject][]) {
    const shadow = slots[name];
    slots[name] = shadow === undefined ? config : mergeJson(shadow, config);
  }
  const branches = enforced.branches ?? audited.branches;
  return {
    ...audited,
    ...enforced,
    slots,
    direct: { ...audited.direct, ...enforced.direct },
    select: [...(enforced.select ?? []), ...(audited.select ?? [])],
    response: [...(enforced.response ?? []), ...(audited.response ?? [])],
    identity: [...(enforced.identity ?? []), ...(audited.identity ?? [])],
    rateLimits: [...(enforced.rateLimits ?? []), ...(audited.rateLimits ?? [])],
    host: [...(enforced.host ?? []), ...(audited.host ?? [])],
    gateway: [...(enforced.gateway ?? []), ...(audited.gateway ?? [])],
    metadata: { ...audited.metadata, ...enforced.metadata },
    ...(branches === undefined ? {} : { branches }),
  };
}
