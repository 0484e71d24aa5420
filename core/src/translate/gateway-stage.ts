/** The stages of one Gateway's listeners: which hosts, ports and shared slots exist, and the Envoy listener of a port. */
import { containerPort } from "../infrastructure/names.ts";
import { EVERY_HOST, covers, isWildcard } from "../attach/hostname.ts";
import { certificateRefs } from "../attach/certificates.ts";
import type { Listener } from "../attach/listeners.ts";
import type { Closed } from "../attach/layer.ts";
import { type Effective, effectiveSections, type Verdict } from "../attach/policies.ts";
import { joinKey } from "../key.ts";
import { idOf, ownerOf } from "../kinds/meta.ts";
import type { Give } from "../memo.ts";
import type { Resource } from "../outbox.ts";
import type { Problem } from "../problems.ts";
import type { ListenerContext, ListenerPiece, RouteContext } from "../slice.ts";
import type { AnySlice } from "../slices.ts";
import type { OwnGateway, Views } from "../views.ts";
import type { Owner } from "../world.ts";
import { gatewaySlots } from "./chain.ts";
import { frontendOf, frontendPiece, type FrontendReads, withFrontend } from "./frontend-tls.ts";
import { listenerJson, listenerName, type ServedListener } from "./listener.ts";
import { ownerText, SHARED } from "./owner.ts";
import { listenerSecretName } from "./secret.ts";
import type { Wiring } from "./wiring.ts";

/** What exists for the sake of a Gateway alone, without any route. */
export function giveGateway(own: OwnGateway, wiring: Wiring, give: Give): void {
  const gateway = idOf(own.gateway);
  for (const listener of served(own)) {
    give(wiring.ports, joinKey(gateway, String(listener.port)), listener.name, true);
    for (const slot of gatewaySlots.keys()) give(wiring.slots, joinKey(gateway, slot), "", true);
    // Hosts that another listener of the port has to itself: here they are answered as misdirected.
    const elsewhere = served(own).filter(
      ({ port, hcm, hostname }) =>
        port === listener.port && hcm !== listener.hcm && covers(listener.hostname, hostname),
    );
    for (const { name, hostname } of [listener, ...elsewhere]) {
      give(wiring.hosts, joinKey(gateway, listener.hcm, hostname), "", name);
      giveWildcard(gateway, listener.hcm, hostname, wiring, give);
    }
  }
}

/** Every HCM has an index, also one without wildcards: proxies wait for it. */
export function giveWildcard(gateway: string, hcm: string, pattern: string, wiring: Wiring, give: Give): void {
  give(wiring.wildcards, joinKey(gateway, hcm), isWildcard(pattern) ? pattern : "", true);
}

function served({ listeners }: OwnGateway): readonly Listener[] {
  return listeners.filter(({ fault }) => fault === undefined);
}

export interface ListenerReads {
  readonly views: Views;
  readonly wiring: Wiring;
  readonly slices: readonly AnySlice[];
  readonly logDirectory: string;
  readonly frontend: FrontendReads;
  readonly foreignCertificates: (namespace: string) => ListenerContext["foreignCertificates"];
}

/** The sections of a listener as policies on it and its Gateway make them. */
export function listenerVerdict(
  own: OwnGateway,
  listener: Listener,
  { views, slices }: Pick<ListenerReads, "views" | "slices">,
): Verdict {
  return effectiveSections(views.layers(own.gateway, listener.name), slices, views.state);
}

/** Undefined where no policy says it. */
export function clientCertificatesOf(verdict: Verdict): RouteContext["clientCertificates"] | undefined {
  for (const { slice, enforced } of verdict.sections) {
    if (enforced !== undefined && slice.clientCertificates !== undefined) {
      return slice.clientCertificates(enforced.model);
    }
  }
  return undefined;
}

/**
 * What closes every route behind a listener: settings that are broken, or that it cannot have. A conflict closes nothing, the winner's holds.
 */
export function listenerClosed(own: OwnGateway, listener: Listener, reads: ListenerReads): readonly Closed[] {
  const shared = sharesPort(own, listener);
  const { sections } = settingsVerdict(own, listener, shared, reads);
  const broken = sections.flatMap((effective): readonly Closed[] => {
    const source = effective.enforced?.sources[0];
    const problems = listenerPiece(own, listener, effective, reads)?.problems ?? [];
    const problem = problems.find(({ reason, severity }) => reason !== "Conflicted" && severity !== "warning");
    return source === undefined || problem === undefined || !effective.slice.closes
      ? []
      : [{ policy: source.text, level: source.level, detail: problem.message }];
  });
  const unsharable = shared ? unsharableSettings(own, listener, reads) : [];
  return [
    ...broken,
    ...unsharable.flatMap(({ policy, slice, problem }): readonly Closed[] =>
      slice.closes ? [{ policy: `${policy}#${slice.key}`, level: "Listener", detail: problem.message }] : [],
    ),
  ];
}

/** HTTP listeners of a port share one HCM: what it is set to comes from the Gateway, or from its only listener. */
function sharesPort(own: OwnGateway, { protocol, port }: Listener): boolean {
  return protocol === "HTTP" && served(own).filter((other) => other.port === port).length > 1;
}

function settingsVerdict(
  own: OwnGateway,
  listener: Listener,
  shared: boolean,
  { views, slices }: Pick<ListenerReads, "views" | "slices">,
): Verdict {
  const layers = views.layers(own.gateway, listener.name).filter(({ level }) => !shared || level === "Gateway");
  return effectiveSections(layers, slices, views.state);
}

/** The listener settings that hold for calls which come in by this listener. */
export function listenerSettings(
  own: OwnGateway,
  listener: Listener,
  reads: Pick<ListenerReads, "views" | "slices">,
): readonly Effective[] {
  return settingsVerdict(own, listener, sharesPort(own, listener), reads).sections;
}

/** Undefined where nothing can be served on the port. */
export function listenerResource(
  own: OwnGateway,
  port: number,
  reads: ListenerReads,
  give: Give,
): Resource | undefined {
  const gateway = idOf(own.gateway);
  const listeners = served(own).filter((listener) => listener.port === port);
  if (listeners.length === 0) return undefined;
  const owners = new Map<string, Owner>([["Gateway", ownerOf("Gateway", own.gateway)]]);
  const serving = listeners.flatMap((listener, at): readonly ServedListener[] => {
    const shown = listener.protocol === "HTTPS" ? shownCertificates(own, listener, reads.views) : [];
    // A chain without any certificate that it may show would make Envoy refuse the whole port.
    if (listener.protocol === "HTTPS" && shown.length === 0) return [];
    const certificates = shown.map(({ name }) => name);
    for (const { name, secret } of shown) {
      give(reads.wiring.secrets, joinKey(gateway, name), "", secret);
      const owner = { ...ownerOf("Gateway", own.gateway), generation: SHARED };
      give(reads.wiring.resourceOwners, joinKey(gateway, "secret", name), ownerText(owner), owner);
    }
    if (listener.protocol === "HTTPS") {
      const frontend = frontendPiece(own.gateway, port, reads.frontend);
      if (frontend?.ok === false) return []; // without its CA the listener would let anybody in
      const policies = listenerPieces(own, listener, false, reads, owners, give);
      if (frontend === undefined) return [{ listener, certificates, pieces: policies }];
      giveResources(gateway, frontend.piece, [ownerOf("Gateway", own.gateway)], reads.wiring, give);
      const { pieces, conflicts } = withFrontend(frontend.piece, policies);
      if (conflicts) giveConflict(own, listener, reads, give);
      return [{ listener, certificates, pieces }];
    }
    const shared = sharesPort(own, listener);
    if (shared) giveUnsharable(own, listener, reads, give);
    const pieces = at > 0 ? [] : listenerPieces(own, listener, shared, reads, owners, give);
    return [{ listener, certificates, pieces }];
  });
  if (serving.length === 0) return undefined;
  return {
    gateway,
    type: "listener",
    name: listenerName(port),
    json: listenerJson(
      port,
      { addresses: boundAddresses(own), port: own.inCluster ? containerPort(port) : port },
      serving,
    ),
    owners: [...owners.values()],
  };
}

export function boundAddresses({ gateway, inCluster }: OwnGateway): readonly string[] {
  if (inCluster) return ["0.0.0.0"];
  const written = gateway.addresses
    .filter(({ type, value }) => type === "IPAddress" && value !== "")
    .map(({ value }) => value);
  return written.length === 0 ? ["0.0.0.0"] : written;
}

/** What the listener shows: the Secrets, and the names of SDS by which it asks for them. */
function shownCertificates(
  own: OwnGateway,
  listener: Listener,
  views: Views,
): readonly { readonly name: string; readonly secret: string }[] {
  return certificateRefs(own, listener, views).flatMap((ref, at) =>
    ref.ok ? [{ name: listenerSecretName(listener.hcm, at), secret: ref.secret }] : [],
  );
}

function listenerPieces(
  own: OwnGateway,
  listener: Listener,
  shared: boolean,
  reads: ListenerReads,
  owners: Map<string, Owner>,
  give: Give,
): readonly ListenerPiece[] {
  const { views, wiring } = reads;
  const gateway = idOf(own.gateway);
  const verdict = settingsVerdict(own, listener, shared, reads);
  return verdict.sections.flatMap((effective) => {
    const piece = listenerPiece(own, listener, effective, reads);
    if (piece === undefined || effective.enforced === undefined) return [];
    for (const { namespace, name, uid, generation } of effective.enforced.sources) {
      owners.set(`${namespace}/${name}`, { key: { kind: "ApiPolicy", namespace, name }, uid, generation });
    }
    for (const policy of verdict.policies) {
      const state = views.state(policy, effective.slice);
      if (state.ok) for (const use of state.clusters) give(wiring.clusters, joinKey(gateway, use.name), "", use);
    }
    const makers = effective.enforced.sources.map(({ namespace, name, uid, generation }): Owner => {
      return { key: { kind: "ApiPolicy", namespace, name }, uid, generation };
    });
    giveResources(gateway, piece, makers, wiring, give);
    for (const change of piece.certificates ?? [])
      give(wiring.certificates, `${change.namespace}/${change.name}`, "", change);
    const [source] = effective.enforced.sources;
    for (const [at, problem] of (piece.problems ?? []).entries()) {
      give(
        wiring.placeProblems,
        `${source.namespace}/${source.name}`,
        joinKey(gateway, listener.name, effective.slice.key, String(at)),
        problem,
      );
    }
    return [piece];
  });
}

function listenerPiece(
  own: OwnGateway,
  listener: Listener,
  { slice, enforced }: Effective,
  reads: ListenerReads,
): ListenerPiece | undefined {
  if (enforced === undefined || slice.listener === undefined) return undefined;
  const { namespace, name, uid, annotations } = own.gateway;
  const foreign = reads.foreignCertificates(namespace);
  return slice.listener(enforced.model, {
    gateway: { namespace, name, uid, annotations },
    listener: {
      name: listener.name,
      port: listener.port,
      protocol: listener.protocol,
      hostname: listener.hostname === EVERY_HOST ? undefined : listener.hostname,
      certificateRefs: (listener.spec.tls?.certificateRefs ?? []).map((ref) => ({
        kind: "Secret",
        namespace: ref.namespace ?? namespace,
        name: ref.name,
      })),
    },
    certificateHostnames: sameCertificate(own, listener, reads.views),
    frontendCA: frontendOf(own.gateway, listener.port) !== undefined,
    ...(foreign === undefined ? {} : { foreignCertificates: foreign }),
    logDirectory: reads.logDirectory,
  });
}

/** Hostnames of all listeners that show the same Secret first. */
function sameCertificate(own: OwnGateway, listener: Listener, views: Views): readonly string[] {
  const firstOf = (one: Listener): string | undefined => shownCertificates(own, one, views)[0]?.secret;
  const first = firstOf(listener);
  return served(own)
    .filter((other) => firstOf(other) === first && other.hostname !== EVERY_HOST)
    .map(({ hostname }) => hostname);
}

function giveResources(
  gateway: string,
  piece: ListenerPiece,
  makers: readonly Owner[],
  wiring: Wiring,
  give: Give,
): void {
  for (const { type, name, json } of piece.resources ?? []) {
    give(wiring.named, joinKey(gateway, type, name), "", json);
    for (const owner of makers) {
      give(wiring.resourceOwners, joinKey(gateway, type, name), ownerText(owner), { ...owner, generation: SHARED });
    }
  }
}

/** To the nearest policy that speaks of client certificates at the listener. */
function giveConflict(own: OwnGateway, listener: Listener, reads: ListenerReads, give: Give): void {
  const { sections } = listenerVerdict(own, listener, reads);
  const source = sections.find(({ slice }) => slice.clientCertificates !== undefined)?.enforced?.sources[0];
  if (source === undefined) return;
  const place = joinKey(idOf(own.gateway), listener.name, "frontend");
  give(reads.wiring.placeProblems, `${source.namespace}/${source.name}`, place, {
    reason: "Conflicted",
    path: "spec.mtls.client",
    message: `the Gateway's spec.tls.frontend already says which client certificates listener ${listener.name} accepts`,
    fix: "leave caRefs and mode to the Gateway, or remove spec.tls.frontend",
  });
}

interface Unsharable {
  readonly policy: string; // namespace/name
  readonly slice: AnySlice;
  readonly problem: Problem;
}

/** Listener settings of a policy on one of several HTTP listeners that share a port, and with it every setting. */
function unsharableSettings(
  own: OwnGateway,
  listener: Listener,
  { views, slices }: ListenerReads,
): readonly Unsharable[] {
  return views.policiesAt("Gateway", own.gateway.namespace, own.gateway.name, listener.name).flatMap((policy) =>
    slices.flatMap((slice): readonly Unsharable[] => {
      const written = policy.sections[slice.key] ?? {};
      const setting = slice.listenerSettings.find((name) => Object.hasOwn(written, name));
      if (setting === undefined) return [];
      const path = `spec.${slice.key}.${setting}`;
      const problem = {
        reason: "UnsupportedForTarget",
        path,
        message: `${path}: the HTTP listeners of port ${listener.port} share this setting, and listener ${listener.name} cannot have its own`,
        fix: "target the Gateway, or give the listener a port of its own",
      } as const;
      return [{ policy: idOf(policy.key), slice, problem }];
    }),
  );
}

function giveUnsharable(own: OwnGateway, listener: Listener, reads: ListenerReads, give: Give): void {
  for (const { policy, problem } of unsharableSettings(own, listener, reads)) {
    give(reads.wiring.placeProblems, policy, joinKey(idOf(own.gateway), listener.name, problem.path), problem);
  }
}
