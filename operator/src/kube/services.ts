/** Where a Service's port is served, from the EndpointSlices that are watched anyway: the operator need not use the cluster's DNS. */
import type { Change, KubeObject } from "@gatewarden/core/world.ts";

export interface ServiceDirectory {
  /** Takes in changes of Services and EndpointSlices; others are none of its business. */
  note(change: Change): void;
  /** A ready endpoint of `NAME.NAMESPACE.svc:port`; undefined where the host names no known Service or nothing is ready. */
  endpoint(host: string, port: number): { readonly host: string; readonly port: number } | undefined;
}

interface ServiceSpec {
  readonly ports?: readonly { readonly name?: string; readonly port: number }[];
}

interface Slice {
  readonly endpoints?: readonly {
    readonly addresses?: readonly string[];
    readonly conditions?: { readonly ready?: boolean };
  }[];
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[];
}

const SERVICE_HOST = /^([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.[a-z0-9.-]+)?$/;
const SERVICE_LABEL = "kubernetes.io/service-name";

/** Keeps references to objects that live elsewhere, no copies. */
export function createServiceDirectory(random: () => number): ServiceDirectory {
  const services = new Map<string, KubeObject>();
  const slices = new Map<string, KubeObject>();
  const slicesOf = new Map<string, Set<string>>(); // service → names of its slices

  const noteSlice = (id: string, namespace: string, object: KubeObject | undefined): void => {
    const old = slices.get(id)?.metadata.labels?.[SERVICE_LABEL];
    const next = object?.metadata.labels?.[SERVICE_LABEL];
    if (object === undefined) slices.delete(id);
    else slices.set(id, object);
    if (old === next) return;
    if (old !== undefined) {
      const own = slicesOf.get(`${namespace}/${old}`);
      own?.delete(id);
      if (own?.size === 0) slicesOf.delete(`${namespace}/${old}`);
    }
    if (next !== undefined) {
      const service = `${namespace}/${next}`;
      const own = slicesOf.get(service) ?? new Set();
      slicesOf.set(service, own.add(id));
    }
  };

  return {
    note({ key, object }) {
      const id = `${key.namespace}/${key.name}`;
      if (key.kind === "EndpointSlice") noteSlice(id, key.namespace, object);
      else if (key.kind === "Service") {
        if (object === undefined) services.delete(id);
        else services.set(id, object);
      }
    },
    endpoint(host, port) {
      const match = SERVICE_HOST.exec(host);
      if (match === null) return undefined;
      const service = `${match[2]}/${match[1]}`;
      const spec = services.get(service)?.spec as ServiceSpec | undefined;
      const named = spec?.ports?.find((entry) => entry.port === port);
      if (named === undefined) return undefined;
      const found: { host: string; port: number }[] = [];
      for (const id of slicesOf.get(service) ?? []) {
        const slice = slices.get(id) as unknown as Slice | undefined;
        const target = slice?.ports?.find((entry) => (entry.name ?? "") === (named.name ?? ""))?.port;
        if (target === undefined) continue;
        for (const { addresses, conditions } of slice?.endpoints ?? []) {
          const address = addresses?.[0];
          if (conditions?.ready !== false && address !== undefined) found.push({ host: address, port: target });
        }
      }
      return found[Math.floor(random() * found.length)];
    },
  };
}
