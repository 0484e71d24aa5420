/** Turns changes into bytes before anything is published, in slices, so that keepalives and acknowledgements are not kept waiting. */
import { setImmediate as turn } from "node:timers/promises";
import type { JsonObject, Metrics, Refusal, ResourceChange, ResourceKey } from "../types.ts";
import { type Content, encodeContent, endpointNameOf } from "./content.ts";
import type { Packer } from "./pack.ts";

/** A change whose content is bytes. `present` without `content`: it could not be encoded, `refusal` says why. */
export interface Encoded extends ResourceKey {
  readonly gateway: string;
  readonly present: boolean;
  readonly content: Content | undefined;
  readonly refusal: Refusal | undefined;
  readonly fallback: JsonObject | undefined;
  readonly endpoint: string | undefined;
}

/** The longest run of work between two turns of the event loop (performance.md). */
const SLICE_MS = 10;

/** Encodes all changes: at once where the work fits one slice, else with turns of the event loop between slices. */
export function encodeInSlices(
  changes: readonly ResourceChange[],
  metrics: Metrics,
  packer: Packer,
): readonly Encoded[] | Promise<readonly Encoded[]> {
  const encoded: Encoded[] = [];
  /** Whether everything is done. */
  const slice = (): boolean => {
    const end = performance.now() + SLICE_MS;
    for (let change = changes[encoded.length]; change !== undefined; change = changes[encoded.length]) {
      if (performance.now() > end) return false;
      encoded.push(encodeChange(change, metrics, packer));
    }
    return true;
  };
  if (slice()) return encoded;
  const rest = async (): Promise<readonly Encoded[]> => {
    do await turn();
    while (!slice());
    return encoded;
  };
  return rest();
}

function encodeChange(change: ResourceChange, metrics: Metrics, packer: Packer): Encoded {
  const { gateway, type, name, json, fallback } = change;
  const key = { gateway, type, name, fallback };
  if (json === undefined) {
    return { ...key, present: false, content: undefined, refusal: undefined, endpoint: undefined };
  }
  const start = performance.now();
  try {
    const content = encodeContent(name, json, type === "scope" ? packer : undefined);
    metrics.encoded(type, (performance.now() - start) * 1_000);
    const endpoint = type === "cluster" ? endpointNameOf(name, json) : undefined;
    return { ...key, present: true, content, refusal: undefined, endpoint };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return {
      ...key,
      present: true,
      content: undefined,
      refusal: { by: "encoder", message, node: "" },
      endpoint: undefined,
    };
  }
}
