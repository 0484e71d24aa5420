/** Objects from YAML and JSON files, completed as the API server would: namespace, uid, generation, and `data` of Secrets. */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { fieldPath } from "@gatewarden/core/schema/parse.ts";
import type { Kind, KubeObject, ObjectKey } from "@gatewarden/core/world.ts";
import {
  apiVersion,
  CLUSTER_WIDE_KINDS,
  keyText,
  REFERENCED_KINDS,
  type KindInfo,
} from "@gatewarden/operator/kube/kinds.ts";
import { type Document, LineCounter, parseAllDocuments } from "yaml";
import { type Concern, concerning, divided, type Text } from "./concerning.ts";
import { otherReadings, type OtherReading } from "./kubectl-reading.ts";
import { type LineOf, lineOf } from "./position.ts";

/** Where a manifest was read; absent for what came from a cluster or was assumed. */
export interface Position {
  readonly file: string;
  readonly line: LineOf;
}

export interface Manifest {
  readonly key: ObjectKey;
  readonly object: KubeObject;
  readonly at?: Position;
  /** Of a Secret or ConfigMap in a cluster: we may not read it; `object` holds its name only. */
  readonly denied?: true;
}

export interface Manifests {
  readonly objects: ReadonlyMap<string, Manifest>;
  /** Objects of kinds that gatewarden does not read, and what was assumed; one sentence each. */
  readonly notes: readonly string[];
}

export type ManifestsResult =
  { readonly ok: true; readonly value: Manifests } | { readonly ok: false; readonly message: string };

const EXTENSIONS = new Set([".yaml", ".yml", ".json"]);
const LARGEST_FILE_BYTES = 32 * 1024 * 1024;
const DEFAULT_NAMESPACE = "default";
const KINDS: readonly KindInfo[] = [...CLUSTER_WIDE_KINDS, REFERENCED_KINDS.Secret, REFERENCED_KINDS.ConfigMap];

interface RawObject {
  readonly apiVersion?: unknown;
  readonly kind?: unknown;
  readonly items?: unknown;
  readonly metadata?: { readonly name?: unknown; readonly namespace?: unknown };
}

/**
 * Reads files and (recursively) folders. The first unreadable file ends it: half of a world would be another world. `concern`: of calls to one
 * host alone, what makes no difference to them is left out, and not looked at.
 */
export async function readManifests(paths: readonly string[], concern?: Concern): Promise<ManifestsResult> {
  const objects = new Map<string, Manifest>();
  const notes: string[] = [];
  try {
    const texts: Text[] = [];
    for (const file of await filesOf(paths)) texts.push(...(await textsOf(file, concern !== undefined)));
    const read = readOnce();
    const chosen = concern === undefined ? texts : concerning(texts, concern, (text) => routesIn(read(text)));
    for (const written of chosen.flatMap(read)) {
      const problem = take(written, objects, notes);
      if (problem !== undefined) return { ok: false, message: problem };
    }
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
  assume(objects, notes);
  return { ok: true, value: { objects, notes } };
}

/** Expectations of `gatewarden test` may stand beside the manifests that they are about. */
export function isExpectations(name: string): boolean {
  return /\.expect\.(yaml|yml|json)$/.test(name);
}

async function filesOf(paths: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const given of paths) {
    if (!(await stat(given)).isDirectory()) {
      found.push(given);
      continue;
    }
    const entries = await readdir(given, { recursive: true, withFileTypes: true });
    for (const entry of entries)
      if (entry.isFile() && EXTENSIONS.has(path.extname(entry.name)) && !isExpectations(entry.name))
        found.push(path.join(entry.parentPath, entry.name));
  }
  return found.sort();
}

/** One object of a file, or of a List in it. */
interface Written {
  readonly value: unknown;
  readonly at: Position;
  /** The same as YAML. */
  readonly node: unknown;
}

async function textsOf(file: string, apart: boolean): Promise<readonly Text[]> {
  const { size } = await stat(file);
  if (size > LARGEST_FILE_BYTES) throw new Error(`${file}: larger than 32 MiB`);
  const content = await readFile(file, "utf8");
  return apart ? divided(file, content) : [{ text: content, file, line: 1 }];
}

type Read = (text: Text) => readonly Written[];

function readOnce(): Read {
  const known = new Map<Text, readonly Written[]>();
  return (text) => {
    const before = known.get(text);
    if (before !== undefined) return before;
    const found = documentsOf(text);
    known.set(text, found);
    return found;
  };
}

function documentsOf({ text, file, line: first }: Text): readonly Written[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, merge: true });
  const inFile = (line: number): number => first - 1 + line;
  return (Array.isArray(documents) ? documents : []).flatMap((document): readonly Written[] => {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(`${file}:${inFile(lines.linePos(error.pos[0]).line)}: ${error.message}`);
    const value = valueOf(document, file);
    const items = listItems(value);
    const at = (prefix: readonly (string | number)[] = []): Position => {
      const line = lineOf(document, lines, prefix);
      return { file, line: (path) => inFile(line(path)) };
    };
    if (items === undefined) return [{ value, at: at(), node: document.contents }];
    return items.map((item, index) => {
      const place = ["items", index];
      return { value: item, at: at(place), node: document.getIn(place, true) };
    });
  });
}

/** Names of HTTPRoutes. */
function routesIn(documents: readonly Written[]): readonly string[] {
  return documents.flatMap(({ value }) => {
    const { kind, metadata } = (value ?? {}) as RawObject;
    return kind === "HTTPRoute" && typeof metadata?.name === "string" ? [metadata.name] : [];
  });
}

/** @throws Error with the file's name when aliases grow beyond any use */
function valueOf(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function listItems(value: unknown): readonly unknown[] | undefined {
  const { kind, items } = (value ?? {}) as RawObject;
  return kind === "List" && Array.isArray(items) ? items : undefined;
}

/** Takes one object in; answers what is wrong with it. */
function take({ value, at, node }: Written, objects: Map<string, Manifest>, notes: string[]): string | undefined {
  if (value === null || value === undefined) return undefined;
  const wrong = (path: string, what: string): string => `${at.file}:${at.line(path)}: ${what}`;
  if (typeof value !== "object" || Array.isArray(value)) return wrong("", "a document is not an object");
  const raw = value as RawObject;
  const { name, namespace } = raw.metadata ?? {};
  if (typeof raw.kind !== "string" || typeof raw.apiVersion !== "string")
    return wrong("", "an object has no apiVersion or kind");
  if (typeof name !== "string" || name === "") return wrong("metadata", `a ${raw.kind} has no metadata.name`);
  if (namespace !== undefined && typeof namespace !== "string")
    return wrong("metadata.namespace", `${raw.kind} ${name}: metadata.namespace is not a text`);
  const group = raw.apiVersion.includes("/") ? raw.apiVersion.slice(0, raw.apiVersion.indexOf("/")) : "";
  const kind = KINDS.find((info) => info.kind === raw.kind && info.group === group);
  if (kind === undefined) {
    notes.push(`${raw.kind} ${name} (${raw.apiVersion}) is not read`);
    return undefined;
  }
  for (const other of otherReadings(node)) {
    const field = fieldPath("", other.steps);
    if (kind.kind === "ApiPolicy" && other.source === "Off" && OFF_IS_FALSE.test(field)) continue;
    return wrong(field, `${raw.kind} ${name}: ${field}: ${misread(other)}`);
  }
  const manifest = complete(kind, raw as KubeObject, name, namespace);
  const id = keyText(manifest.key);
  if (objects.has(id)) return wrong("metadata.name", `${id} stands twice`);
  objects.set(id, { ...manifest, at });
  return undefined;
}

/** A bare `Off` is false to kubectl, and the API takes that for Off (core/src/schema/word.ts). */
const OFF_IS_FALSE = /^spec\.mtls\.(client|backend)\.mode$/;

function misread({ source, kubectl }: OtherReading): string {
  const quoted = JSON.stringify(source);
  return `kubectl reads ${source} without quotes as ${String(kubectl)} (write ${quoted} where the text is meant, ${String(kubectl)} where that is)`;
}

function complete(kind: KindInfo, raw: KubeObject, name: string, namespace: string | undefined): Manifest {
  const key: ObjectKey = { kind: kind.kind, namespace: kind.namespaced ? (namespace ?? DEFAULT_NAMESPACE) : "", name };
  const { stringData, ...rest } = raw as KubeObject & { readonly stringData?: Readonly<Record<string, string>> };
  const labels =
    kind.kind === "Namespace" ? { "kubernetes.io/metadata.name": name, ...raw.metadata.labels } : undefined;
  const object: KubeObject = {
    ...rest,
    apiVersion: apiVersion(kind),
    metadata: {
      ...raw.metadata,
      name,
      ...(kind.namespaced ? { namespace: key.namespace } : {}),
      ...(labels === undefined ? {} : { labels }),
      uid: digest(keyText(key)),
      generation: raw.metadata.generation ?? 1,
      resourceVersion: digest(JSON.stringify(raw)),
    },
    ...(stringData === undefined ? {} : { data: { ...(raw["data"] as object | undefined), ...encoded(stringData) } }),
  };
  return { key, object };
}

function encoded(texts: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(texts).map(([key, text]) => [
      key,
      Buffer.from(typeof text === "string" ? text : JSON.stringify(text)).toString("base64"),
    ]),
  );
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

/** What a cluster has without anybody writing it: namespaces, and here also the class of Gateways that name one which is not given. */
function assume(objects: Map<string, Manifest>, notes: string[]): void {
  const add = (kind: Kind, raw: KubeObject): void => {
    const info = KINDS.find((entry) => entry.kind === kind);
    if (info === undefined) return;
    const manifest = complete(info, { kind, ...raw }, raw.metadata.name, undefined);
    if (!objects.has(keyText(manifest.key))) objects.set(keyText(manifest.key), manifest);
  };
  for (const { key, object } of [...objects.values()]) {
    if (key.namespace !== "") add("Namespace", { metadata: { name: key.namespace } });
    const className =
      key.kind === "Gateway"
        ? (object.spec as { gatewayClassName?: unknown } | undefined)?.gatewayClassName
        : undefined;
    if (typeof className !== "string" || objects.has(`GatewayClass//${className}`)) continue;
    notes.push(`GatewayClass ${className} is not given and taken for ours`);
    add("GatewayClass", {
      metadata: { name: className },
      spec: { controllerName: "gatewarden.io/gateway-controller" },
    });
  }
}
