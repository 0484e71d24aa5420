/** What is left out unread is what the whole read shows to make no difference, however it is spelled. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "@jest/globals";
import fc from "fast-check";
import { type Manifest, readManifests } from "../src/offline/manifests.ts";
import { oddDocument, oddFile, pick, type Random, randomOf, type Value } from "./odd-yaml.ts";

let folder: string;
beforeAll(() => void (folder = mkdtempSync(path.join(tmpdir(), "concerning-"))));
afterAll(() => rmSync(folder, { recursive: true }));

const HOST = "own.test";
const HOSTS = ["own.test", "OWN.test", "a.test", "a.test", "b.test", "c.own.test", "*.test", "*.other"];
const NAMES = ["r0", "r1", "r2", "r3", "r10", "own"];
/** Texts that look like what decides. */
const NOISE = [
  "hostnames: [a.test]",
  "kind: HTTPRoute",
  "a\nhostnames:\n- a.test",
  "own.test",
  "r1",
  "it's",
  'a "b',
  "x",
];
const GATEWAY = "gateway.networking.k8s.io";

const some = <T>(random: Random, from: readonly T[], most: number): readonly T[] =>
  Array.from({ length: Math.floor(random() * (most + 1)) }, () => pick(random, from));

function metadata(random: Random, name: string): Value {
  const place = random() < 0.8 ? { namespace: "shop" } : {};
  return { name, ...place, ...(random() < 0.3 ? { annotations: { note: pick(random, NOISE) } } : {}) };
}

function routeOf(random: Random, name: string): Value {
  const hostnames = some(random, HOSTS, 2);
  return {
    apiVersion: `${GATEWAY}/v1`,
    kind: "HTTPRoute",
    metadata: metadata(random, name),
    spec: {
      parentRefs: [{ name: "edge" }],
      ...(random() < 0.15 ? {} : { hostnames }),
      rules: [{ backendRefs: [{ name: pick(random, ["orders", ...NAMES]), port: 80 }] }],
    },
  };
}

function policyOf(random: Random, name: string): Value {
  const kinds = ["HTTPRoute", "HTTPRoute", "HTTPRoute", "HTTPRoute", "Gateway"];
  const targetRefs = [pick(random, NAMES), ...some(random, NAMES, 2)].map((one) => ({
    group: GATEWAY,
    kind: pick(random, kinds),
    name: one,
  }));
  const header = random() < 0.15 ? { consumerHeader: "x-user" } : {};
  return {
    apiVersion: "gatewarden.io/v1alpha1",
    kind: "ApiPolicy",
    metadata: metadata(random, name),
    spec: { targetRefs, authentication: { apiKey: { from: { headers: ["x-api-key"] }, ...header } } },
  };
}

function fileOf(random: Random): string {
  const objects = [
    ...NAMES.filter(() => random() < 0.7).map((name) => routeOf(random, name)),
    ...some(random, NAMES, 4).map((_, at) => policyOf(random, `p${String(at)}`)),
  ];
  const listed = random() < 0.2 ? objects.slice(0, 2) : [];
  const values = [
    ...(listed.length === 0 ? [] : [{ apiVersion: "v1", kind: "List", items: listed }]),
    ...objects.slice(listed.length),
  ];
  return oddFile(
    random,
    values.map((value) => oddDocument(random, value)),
  );
}

interface Spec {
  readonly hostnames?: readonly string[];
  readonly targetRefs?: readonly { readonly kind: string; readonly name: string }[];
}

/** @param near names of the routes that calls to the host may reach */
function makesNoDifference({ key, object }: Manifest, near: ReadonlySet<string>): boolean {
  const { hostnames = [], targetRefs = [] } = object.spec as Spec;
  if (key.kind === "HTTPRoute") return !isNear(hostnames);
  return (
    key.kind === "ApiPolicy" &&
    !JSON.stringify(object).includes("consumerHeader") &&
    targetRefs.every(({ kind, name }) => kind === "HTTPRoute" && !near.has(name))
  );
}

function isNear(hostnames: readonly string[]): boolean {
  return hostnames.length === 0 || hostnames.some((one) => one.includes("*") || one.toLowerCase() === HOST);
}

it("leaves out nothing that matters, and reads the rest as with everything", async () => {
  let valid = 0;
  let left = 0;
  await fc.assert(
    fc.asyncProperty(fc.integer(), async (seed) => {
      const text = fileOf(randomOf(seed));
      const file = path.join(folder, "all.yaml");
      writeFileSync(file, text);
      const whole = await readManifests([file]);
      if (!whole.ok) return;
      valid += 1;
      const part = await readManifests([file], { host: HOST, carriesKey: false });
      if (!part.ok) throw new Error(`${part.message}\n${text}`);
      const objects = [...whole.value.objects];
      const near = new Set(
        objects.flatMap(([, { key, object }]) =>
          key.kind === "HTTPRoute" && isNear((object.spec as Spec).hostnames ?? []) ? [key.name] : [],
        ),
      );
      for (const [id, manifest] of objects) {
        const found = part.value.objects.get(id);
        if (found !== undefined) expect({ text, object: found.object }).toEqual({ text, object: manifest.object });
        else if (manifest.at !== undefined) {
          left += 1;
          expect({ text, id, left: makesNoDifference(manifest, near) }).toEqual({ text, id, left: true });
        }
      }
      expect({ text, more: [...part.value.objects.keys()].filter((id) => !whole.value.objects.has(id)) }).toEqual({
        text,
        more: [],
      });
    }),
    { numRuns: 400 },
  );
  // Otherwise it says nothing.
  expect(valid).toBeGreaterThan(200);
  expect(left).toBeGreaterThan(20);
});
