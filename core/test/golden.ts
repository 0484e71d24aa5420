/**
 * Golden pairs: a folder per case with `in.yaml` (Kubernetes objects, and `kind: Jwks` for key sets that were fetched) and `out.yaml` (the
 * statuses, and what proxies get on behalf of somebody). `UPDATE=1` rewrites the outputs.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments, stringify } from "yaml";
import { createEngine } from "../src/engine.ts";
import type { Change, JsonObject, Kind, KubeObject, Output } from "../src/world.ts";
import { OPTIONS } from "./objects.ts";
import { resourcesAfter, staticBootstrap } from "./static-bootstrap.ts";

export interface GoldenCase {
  readonly name: string;
  readonly directory: string;
}

/** The evaluation time of every case. */
const NOW_MS = Date.parse("2026-12-01T00:00:00Z");
const SHOWN = ["scope", "extension"];
/** Of listeners, what is the same in all of them is not shown. */
const CONSTANT: ReadonlySet<string> = new Set([
  "http_filters",
  "local_reply_config",
  "early_header_mutation_extensions",
]);
const GENERATED_FROM = "# Written by `make golden` from in.yaml: read the difference, do not edit.\n";

export function goldenCases(folder: string): readonly GoldenCase[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, "in.yaml")))
    .map(({ name }) => ({ name, directory: join(folder, name) }));
}

/** What came out, as text, and what was expected; after `UPDATE=1` both are the same. */
export function compareGolden({ directory }: GoldenCase): { readonly actual: string; readonly expected: string } {
  const file = join(directory, "out.yaml");
  const actual =
    GENERATED_FROM +
    stringify(visible(evaluate(directory), shown(directory)), { lineWidth: 0, aliasDuplicateObjects: false });
  if (process.env["UPDATE"] === "1") writeFileSync(file, actual);
  return { actual, expected: existsSync(file) ? readFileSync(file, "utf8") : "" };
}

/** A bootstrap for each Gateway of the case, for `validate`. */
export function goldenBootstraps({ directory }: GoldenCase): readonly JsonObject[] {
  const output = evaluate(directory);
  const gateways = [...new Set(output.resources.map(({ gateway }) => gateway))].sort();
  return gateways.map((gateway) => staticBootstrap(resourcesAfter([output], gateway)));
}

function evaluate(directory: string): Output {
  const documents = parseAllDocuments(readFileSync(join(directory, "in.yaml"), "utf8"));
  const changes = documents.map((document, at) => changeOf(document.toJS() as KubeObject, at));
  const output = createEngine({ ...OPTIONS, requirePolicy: true }).apply(changes, NOW_MS);
  const [fault] = output.faults ?? [];
  if (fault !== undefined) throw new Error(`${fault.stage} ${fault.key}: ${fault.message}`);
  return output;
}

/** As an API server would have it: with a uid, a generation and an age in the order of the file. */
function changeOf(written: KubeObject, at: number): Change {
  const { kind, metadata } = written;
  const { name, namespace = "" } = metadata;
  const object: KubeObject = {
    ...written,
    metadata: {
      uid: `${String(kind)}/${namespace}/${name}`,
      generation: 1,
      creationTimestamp: new Date(NOW_MS - 1_000_000 + at * 1_000).toISOString(),
      ...metadata,
    },
  };
  return { key: { kind: kind as Kind, namespace, name }, object };
}

/** What a case shows: types of resources, `certificate` for cert-manager's, kinds of the Gateway API for their statuses. */
function shown(directory: string): readonly string[] {
  const [, more = ""] = /^# show: (.*)/.exec(readFileSync(join(directory, "in.yaml"), "utf8")) ?? [];
  return [...SHOWN, ...more.split(" ")];
}

function visible(
  { resources, statuses, jwks, nextEvaluationMs, certificates }: Output,
  show: readonly string[],
): unknown {
  return {
    statuses: Object.fromEntries(
      statuses
        .filter(({ key }) => key.kind === "ApiPolicy" || key.kind === "ApiConsumer" || show.includes(key.kind))
        .map(({ key, status }) => [`${key.kind} ${key.namespace}/${key.name}`, status]),
    ),
    ...(jwks.add.length === 0 ? {} : { fetches: jwks.add }),
    ...(nextEvaluationMs === undefined ? {} : { nextEvaluation: new Date(nextEvaluationMs).toISOString() }),
    ...(show.includes("certificate") ? { certificates: certificates.map(({ object }) => object) } : {}),
    resources: Object.fromEntries(
      resources
        .filter(({ type, owners }) => show.includes(type) && (owners.length > 0 || !SHOWN.includes(type)))
        .map(({ gateway, type, name, json, owners }) => [
          `${gateway} ${type} ${name}`,
          {
            owners: owners.map(({ key }) => `${key.kind} ${key.namespace}/${key.name}`),
            json: json && withoutConstants(json),
          },
        ]),
    ),
  };
}

function withoutConstants(json: JsonObject): JsonObject {
  return JSON.parse(
    JSON.stringify(json, (key, value: unknown) => (CONSTANT.has(key) ? "(constant)" : value)),
  ) as JsonObject;
}
