/** Under an Override: the stricter mode, identities of both, the Override's CAs; towards the Service the Override's value. */
import type { Problem } from "../../problems.ts";
import { sameJson } from "../../same.ts";
import type { Tightened } from "../../slice.ts";
import type { BackendModel, ClientModel, IdentityList, Model } from "./model.ts";

const STRICTNESS = ["Off", "Optional", "Strict"] as const satisfies readonly ClientModel["mode"][];

interface Part<T> {
  readonly model: T | undefined;
  readonly lost: readonly string[]; // what of the nearer part does not hold
  readonly whole: boolean; // nothing of it does
}

export function tighten(floor: Model, near: Model): Tightened<Model> {
  const client = tightenClient(floor.client, near.client);
  const backend = tightenBackend(floor.backend, near.backend);
  const model: Model = {
    ...(client.model === undefined ? {} : { client: client.model }),
    ...(backend.model === undefined ? {} : { backend: backend.model }),
  };
  const lost = [...client.lost, ...backend.lost];
  if (lost.length === 0) return { model };
  const overridden: Problem = { reason: "Overridden", path: "spec.mtls", message: lost.join(", ") };
  const left = (near.client !== undefined && !client.whole) || (near.backend !== undefined && !backend.whole);
  return left ? { model, overridden, partly: true } : { model, overridden };
}

function tightenClient(floor: ClientModel | undefined, near: ClientModel | undefined): Part<ClientModel> {
  if (floor === undefined || near === undefined) return { model: floor ?? near, lost: [], whole: false };
  const weaker = strictness(near) < strictness(floor);
  // An Override that asks for nothing has no CA either.
  if (floor.mode === "Off") return { model: near, lost: [], whole: false };
  // A CA and its revocation list belong together.
  const trust = floor.trustedCA === undefined && near.trustedCA !== undefined ? near : floor;
  const lists = [...listsOf(floor), ...listsOf(near)];
  const own = lists.find(({ policy }) => policy === trust.source.text);
  const model: ClientModel = {
    source: trust.source,
    mode: weaker ? floor.mode : near.mode,
    trustedCA: trust.trustedCA,
    crl: trust.crl,
    identities: own?.identities ?? [],
    further: lists.filter((list) => list !== own),
    forward: floor.forward ?? near.forward,
  };
  const lost = [
    ...(weaker ? [`mode is ${floor.mode}`] : []),
    ...(trust === floor && near.trustedCA !== undefined && near.trustedCA !== floor.trustedCA
      ? ["its CAs are trusted"]
      : []),
    ...(trust === floor && near.crl !== undefined && near.crl !== floor.crl ? ["its revocation list is used"] : []),
    ...(near.forward === undefined || sameJson(near.forward, model.forward) ? [] : ["it says what is forwarded"]),
  ];
  return { model, lost, whole: weaker && near.identities.length === 0 && near.further.length === 0 };
}

function strictness({ mode }: ClientModel): number {
  return STRICTNESS.indexOf(mode);
}

function listsOf({ source, identities, further }: ClientModel): readonly IdentityList[] {
  return [...(identities.length === 0 ? [] : [{ policy: source.text, identities }]), ...further];
}

function tightenBackend(floor: BackendModel | undefined, near: BackendModel | undefined): Part<BackendModel> {
  if (floor === undefined || near === undefined || sameBackend(floor, near)) {
    return { model: floor ?? near, lost: [], whole: false };
  }
  return { model: floor, lost: ["it says how calls reach the Service"], whole: true };
}

function sameBackend(a: BackendModel, b: BackendModel): boolean {
  return sameJson({ ...a, source: "" }, { ...b, source: "" });
}
