/** From a slice's piece to Envoy routes, as translate/rule.ts does it for a whole rule; for tests of one slice in a real Envoy. */
import type { RoutePiece } from "../src/slice.ts";
import { ROUTE_METADATA } from "../src/translate/local-reply.ts";
import { mergeJson } from "../src/translate/merge-json.ts";
import { type Draft, drafts } from "../src/translate/piece.ts";
import { answerMetadata, refusalRoute } from "../src/translate/refusal.ts";
import type { JsonObject } from "../src/world.ts";
import { toUpstream } from "./chain.ts";

const MUTATIONS = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute";

export interface Composed {
  readonly path: string;
  readonly piece: RoutePiece;
  /** Pieces of slices behind it. */
  readonly further?: readonly RoutePiece[];
  /** Headers that only we may set here. */
  readonly own?: readonly string[];
}

/** The Envoy routes of one path, one per branch. */
export function routesAt({ path, piece, further = [], own = [] }: Composed): readonly JsonObject[] {
  const strip = own.map((remove): JsonObject => ({ remove }));
  // `drafts` reads the slice of a piece nowhere.
  const pieces = [piece, ...further].map((one) => ({ piece: one }) as Parameters<typeof drafts>[0][number]);
  return drafts(pieces).map((draft, at) => route(path, `${path}/${at}`, draft, strip));
}

/** What slot `slot` of the Gateway gets from these pieces, by key. */
export function gatewayEntries(slot: string, pieces: readonly RoutePiece[]): ReadonlyMap<string, JsonObject> {
  const entries = pieces.flatMap(({ gateway = [], branches = [] }) => [
    ...gateway,
    ...branches.flatMap((branch) => branch.piece.gateway ?? []),
  ]);
  return new Map(entries.filter((entry) => entry.slot === slot).map(({ key, value }) => [key, value]));
}

function route(path: string, name: string, draft: Draft, strip: readonly JsonObject[]): JsonObject {
  const refusal = draft.refuse === undefined ? undefined : refusalRoute(draft.refuse, draft.rateLimits);
  const select = [...strip, ...draft.select];
  return {
    name,
    match: mergeJson({ path_separated_prefix: path }, draft.match),
    ...(refusal?.action ?? { route: { ...toUpstream, rate_limits: draft.rateLimits } }),
    metadata: {
      filter_metadata: {
        [ROUTE_METADATA]: { ...draft.metadata, ...(draft.refuse === undefined ? {} : answerMetadata(draft.refuse)) },
      },
    },
    typed_per_filter_config: {
      ...(draft.slots as Readonly<Record<string, JsonObject>>),
      ...(refusal === undefined ? {} : { authz: refusal.authz }),
      select: { "@type": MUTATIONS, mutations: { request_mutations: select } },
      identity: { "@type": MUTATIONS, mutations: { request_mutations: draft.identity } },
    },
  };
}
