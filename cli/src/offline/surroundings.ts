/**
 * What policies in files refer to and repositories of policies do not hold: Services, which live with their applications, and Secrets with
 * credentials or certificates, which should not be in Git. Without them every call would be answered with 500 or 401 here and with 200 in the cluster.
 */
import { createHash } from "node:crypto";
import { parseApiConsumer } from "@gatewarden/core/kinds/api-consumer.ts";
import { type BackendRef, parseHttpRoute } from "@gatewarden/core/kinds/gateway-api/http-route.ts";
import { issuedSecrets } from "./issued.ts";
import type { Manifest } from "./manifests.ts";
import { selfSigned } from "./self-signed.ts";

/** The objects with what they lack, and one sentence for each thing that was taken to be there. */
export interface Surrounded {
  readonly objects: ReadonlyMap<string, Manifest>;
  readonly notes: readonly string[];
}

/**
 * Only in namespaces of which the files hold no Service (no Secret) at all: where some are given, a missing one is a mistake. What cert-manager
 * writes is never given, unless somebody exported it.
 */
export function assumeSurroundings(given: ReadonlyMap<string, Manifest>): Surrounded {
  const objects = new Map(given);
  const notes: string[] = [];
  const holds = (kind: string, namespace: string): boolean =>
    [...given.values()].some(({ key }) => key.kind === kind && key.namespace === namespace);
  for (const [id, ports] of servicesOf(given)) {
    const [namespace = "", name = ""] = id.split("/");
    if (holds("Service", namespace)) continue;
    notes.push(`Service ${id} is not given and taken to be there`);
    add(objects, "Service", namespace, name, {
      spec: { ports: [...ports].map((port) => ({ name: `p${port}`, port })) },
    });
  }
  for (const [id, keys] of credentialsOf(given)) {
    const [namespace = "", name = ""] = id.split("/");
    if (holds("Secret", namespace)) continue;
    notes.push(`Secret ${id} is not given and taken to be there`);
    // A value that nobody knows, another one for each key: only --as can stand for it.
    const value = (key: string): string => createHash("sha256").update(`assumed ${id} ${key}`).digest("base64url");
    const data = Object.fromEntries([...keys].map((key) => [key, Buffer.from(value(key)).toString("base64")]));
    add(objects, "Secret", namespace, name, { data });
  }
  const nowMs = Date.now();
  for (const id of issuedSecrets(objects, nowMs)) {
    const [namespace = "", name = ""] = id.split("/");
    if (name === "" || objects.has(`Secret/${id}`)) continue;
    notes.push(`Secret ${id} is not given and taken to be there, written by cert-manager`);
    const { certPem, keyPem } = selfSigned("assumed.invalid", nowMs);
    const texts = { "tls.crt": certPem, "tls.key": keyPem, "ca.crt": certPem };
    const data = Object.fromEntries(
      Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
    );
    add(objects, "Secret", namespace, name, { data });
  }
  return { objects, notes };
}

function servicesOf(given: ReadonlyMap<string, Manifest>): ReadonlyMap<string, ReadonlySet<number>> {
  const found = new Map<string, Set<number>>();
  const note = ({ group, kind, namespace, name, port }: BackendRef): void => {
    if (group !== "" || kind !== "Service" || port === undefined) return;
    const id = `${namespace}/${name}`;
    found.set(id, (found.get(id) ?? new Set()).add(port));
  };
  for (const { key, object } of given.values()) {
    if (key.kind !== "HTTPRoute") continue;
    for (const { backends, filters } of parseHttpRoute(object).rules) {
      backends.forEach(note);
      for (const filter of filters) if (filter.type === "RequestMirror") note(filter.backend);
    }
  }
  return found;
}

function credentialsOf(given: ReadonlyMap<string, Manifest>): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  for (const { key, object } of given.values()) {
    if (key.kind !== "ApiConsumer") continue;
    const { apiKeys, basic } = parseApiConsumer(object);
    for (const { secretRef } of [...apiKeys, ...(basic === undefined ? [] : [basic])]) {
      const id = `${key.namespace}/${secretRef.name}`;
      found.set(id, (found.get(id) ?? new Set()).add(secretRef.key));
    }
  }
  return found;
}

function add(
  objects: Map<string, Manifest>,
  kind: "Service" | "Secret",
  namespace: string,
  name: string,
  rest: Readonly<Record<string, unknown>>,
): void {
  const id = `${kind}/${namespace}/${name}`;
  const metadata = { name, namespace, uid: id, generation: 1, resourceVersion: "1" };
  objects.set(id, { key: { kind, namespace, name }, object: { apiVersion: "v1", kind, metadata, ...rest } });
}
