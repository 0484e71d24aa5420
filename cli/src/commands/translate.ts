/** `gatewarden translate`: what each proxy would get, and each object's status, without a cluster. */
import { createEngine } from "@gatewarden/core/engine.ts";
import type { Change, JsonObject, JsonValue, ObjectStatus } from "@gatewarden/core/world.ts";
import { createRedactor } from "@gatewarden/operator/status/redact.ts";
import { stringify } from "yaml";
import { readFlags, wrongUsage } from "../flags.ts";
import { readManifests } from "../offline/manifests.ts";
import { createOfflineWorld, type OfflineWorld } from "../offline/world.ts";

const USAGE = `gatewarden translate -f DIR|FILE [-f …] [-o yaml|json] [--require-policy=BOOL] [--log-dir DIR] [--show-secrets]
  -f, --file DIR|FILE   manifests; folders are read with all that is in them
  -o, --output FORMAT   yaml (default) or json
  --show-secrets        print values of Secrets where proxies get them (default: [redacted])
Exit status: 0 all objects are accepted, 1 some are not, 2 wrong usage or unreadable input.
`;

export async function translate(args: readonly string[]): Promise<number> {
  const flags = readFlags(
    "translate",
    args,
    {
      file: { type: "string", short: "f", multiple: true },
      output: { type: "string", short: "o", default: "yaml" },
      "require-policy": { type: "string", default: "true" },
      "log-dir": { type: "string", default: "/var/log/gatewarden" },
      "show-secrets": { type: "boolean", default: false },
    },
    USAGE,
    true,
  );
  if (!flags.ok) return flags.exitCode;
  const paths = [...(flags.value.file ?? []), ...flags.positionals];
  const { output } = flags.value;
  if (paths.length === 0) return wrongUsage("translate", "no -f", USAGE);
  if (output !== "yaml" && output !== "json")
    return wrongUsage("translate", `-o ${output}: expected yaml or json`, USAGE);
  const manifests = await readManifests(paths);
  if (!manifests.ok) {
    process.stderr.write(`gatewarden translate: ${manifests.message}\n`);
    return 2;
  }
  for (const note of manifests.value.notes) process.stderr.write(`gatewarden translate: ${note}\n`);
  const world = createOfflineWorld(
    createEngine({
      controllerName: "gatewarden.io/gateway-controller",
      requirePolicy: flags.value["require-policy"] !== "false",
      logDirectory: flags.value["log-dir"],
    }),
  );
  const nowMs = Date.now();
  world.set(manifests.value.objects, nowMs);
  world.apply(keySetsNotFetched(world), nowMs);
  const redactor = createRedactor();
  if (!flags.value["show-secrets"])
    for (const { key, object } of manifests.value.objects.values()) redactor.note({ key, object });
  const page = { gateways: gatewaysOf(world, (text) => redactor.redact(text)), objects: objectsOf(world) };
  process.stdout.write(
    output === "json"
      ? `${JSON.stringify(page, null, 2)}\n`
      : stringify(page, { aliasDuplicateObjects: false, lineWidth: 0 }),
  );
  return page.objects.every(({ status }) => isFine(status)) ? 0 : 1;
}

/** Offline nothing is fetched: the objects say so. */
function keySetsNotFetched(world: OfflineWorld): readonly Change[] {
  return [...world.jwks().keys()].map((id) => ({
    key: { kind: "Jwks", namespace: "", name: id },
    object: { metadata: { name: id }, spec: { error: "offline: key sets are not fetched" } },
  }));
}

type Page = Record<string, Record<string, JsonValue[]>>;

function gatewaysOf(world: OfflineWorld, redact: (text: string) => string): Page {
  const page: Page = {};
  for (const { gateway, type, json } of world.resources()) {
    if (json === undefined) continue;
    const own = (page[gateway] ??= {});
    (own[type] ??= []).push(redacted(json, redact));
  }
  return page;
}

function redacted(value: JsonValue, redact: (text: string) => string): JsonValue {
  if (typeof value === "string") return redact(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((member: JsonValue) => redacted(member, redact));
  return Object.fromEntries(
    Object.entries(value as JsonObject).map(([name, member]) => [name, redacted(member, redact)]),
  );
}

interface Reported {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly status: ObjectStatus;
}

function objectsOf(world: OfflineWorld): readonly Reported[] {
  return [...world.statuses()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { key, status }]) => ({
      kind: key.kind,
      ...(key.namespace === "" ? {} : { namespace: key.namespace }),
      name: key.name,
      status,
    }));
}

/** No condition that should be True is not. */
function isFine(status: ObjectStatus): boolean {
  const sets =
    status.kind === "ApiPolicy" || status.kind === "BackendTLSPolicy"
      ? status.ancestors.map(({ conditions }) => conditions)
      : status.kind === "HTTPRoute"
        ? status.parents.map(({ conditions }) => conditions)
        : [status.conditions];
  const attached = status.kind !== "ApiPolicy" || status.ancestors.length > 0;
  return (
    attached &&
    sets.flat().every(({ type, status: value }) => !["Accepted", "ResolvedRefs"].includes(type) || value === "True")
  );
}
