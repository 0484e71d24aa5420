/** What the shell has been told, so that an output holds differences only. Content is remembered by hash. */
import { contentHash } from "./hash.ts";
import { joinKey, splitKey } from "./key.ts";
import { compareText } from "./kinds/meta.ts";
import { sameJson } from "./same.ts";
import type {
  CertificateChange,
  InfrastructureChange,
  JsonObject,
  ObjectKey,
  ObjectStatus,
  Owner,
  ResourceChange,
  ResourceType,
  StatusChange,
} from "./world.ts";

export interface Resource {
  readonly gateway: string;
  readonly type: ResourceType;
  readonly name: string;
  readonly json: JsonObject;
  readonly owners: readonly Owner[];
  readonly fallback?: JsonObject;
}

export interface Outbox {
  resource(resource: Resource): void;
  retract(gateway: string, type: ResourceType, name: string): void;
  status(key: ObjectKey, status: ObjectStatus | undefined): void;
  certificate(change: CertificateChange): void;
  infrastructure(change: InfrastructureChange): void;
  /** Of what changed since the last call, resources that no other one has to go with; the rest stays for {@link Outbox.take}. */
  takeAhead(): readonly ResourceChange[];
  /** What changed since the last call, in a fixed order. */
  take(): {
    readonly resources: readonly ResourceChange[];
    readonly statuses: readonly StatusChange[];
    readonly certificates: readonly CertificateChange[];
    readonly infrastructure: readonly InfrastructureChange[];
  };
}

/** `ahead` says of which resources new content may go before everything else that came of the same changes. */
export function createOutbox(ahead: (type: ResourceType, name: string) => boolean = () => false): Outbox {
  const told = new Map<string, string>(); // hash by id
  const many = new Map<string, readonly Owner[]>(); // owners by id, where there are more than FEW
  const resources = new Map<string, ResourceChange>();
  const alone = new Map<string, ResourceChange>(); // of `resources`, what may go ahead
  const statuses = new Map<string, StatusChange>();
  const certificates = new Map<string, CertificateChange>();
  const infrastructure = new Map<string, InfrastructureChange>();

  /** Queues a change unless the shell knows the content; what was queued before it in the same pass is superseded. */
  function tell<T>(queue: Map<string, T>, id: string, content: unknown, change: T): boolean {
    const hash = content === undefined ? undefined : contentHash(content);
    if (told.get(id) === hash) return false;
    if (hash === undefined) told.delete(id);
    else told.set(id, hash);
    queue.set(id, change);
    return true;
  }

  function noteMany(id: string, owners: readonly Owner[]): void {
    if (owners.length > FEW) many.set(id, owners);
    else many.delete(id);
  }

  return {
    resource(resource) {
      const { gateway, type, name, json, owners } = resource;
      const id = joinKey(gateway, type, name);
      if (owners.length > FEW && !sameOwners(many.get(id), owners)) told.delete(id);
      noteMany(id, owners);
      // A fallback follows from these.
      const content = [json, owners.length > FEW ? owners.length : owners.map(ownerDigest)];
      const isNew = tell(resources, id, content, resource);
      if (isNew && ahead(type, name)) alone.set(id, resource);
    },
    retract(gateway, type, name) {
      const id = joinKey(gateway, type, name);
      many.delete(id);
      tell(resources, id, undefined, { gateway, type, name, json: undefined, owners: [] });
      alone.delete(id);
    },
    status(key, status) {
      tell(statuses, joinKey("status", key.kind, key.namespace, key.name), status, { key, status });
    },
    certificate(change) {
      tell(certificates, joinKey("certificate", change.namespace, change.name), change.object, change);
    },
    infrastructure(change) {
      tell(infrastructure, joinKey("infrastructure", change.gateway), change.objects, change);
    },
    takeAhead() {
      const taken = inOrder(alone);
      for (const id of alone.keys()) resources.delete(id);
      alone.clear();
      return taken;
    },
    take() {
      const taken = {
        resources: inOrder(resources),
        statuses: inOrder(statuses),
        certificates: inOrder(certificates),
        infrastructure: inOrder(infrastructure),
      };
      for (const queue of [resources, alone, statuses, certificates, infrastructure]) queue.clear();
      return taken;
    },
  };
}

/** Above this owners are compared one by one instead of by hash: a shared extension has thousands, and most are the same object as before. */
const FEW = 64;

function sameOwners(a: readonly Owner[] | undefined, b: readonly Owner[]): boolean {
  if (a === b) return true;
  return a?.length === b.length && a.every((owner, at) => owner === b[at] || sameJson(owner, b[at]));
}

function ownerDigest({ key, uid, generation }: Owner): string {
  return `${uid} ${generation} ${key.kind}/${key.namespace}/${key.name}`;
}

function inOrder<T>(queue: ReadonlyMap<string, T>): readonly T[] {
  return [...queue].sort(([a], [b]) => compareText(a, b)).map(([, change]) => change);
}

/** For effects whose key is a resource's address. */
export function resourceKey(key: string): { readonly gateway: string; readonly name: string } {
  const [gateway = "", ...rest] = splitKey(key);
  return { gateway, name: joinKey(...rest) };
}
