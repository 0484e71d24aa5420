/** Credentials where they should not be, or the same ones where they should differ. Values are compared, never printed. */
import { createHash } from "node:crypto";
import { keyText } from "@gatewarden/operator/kube/kinds.ts";
import type { Manifest } from "../offline/manifests.ts";
import type { Hit, LintRule, LintWorld } from "./rule.ts";

/** Labels in which people write what a namespace is for, the first that is there counts. */
const ENVIRONMENT_LABELS = ["gatewarden.io/environment", "environment", "env", "stage"] as const;
const PRODUCTION = new Set(["prod", "production", "prd", "live"]);
const OTHER = new Set([
  "test",
  "testing",
  "tst",
  "dev",
  "development",
  "staging",
  "stage",
  "qa",
  "uat",
  "preview",
  "sandbox",
  "int",
]);

/** From the namespace's labels, else from a word of its name; undefined: it does not say. */
function environmentOf(namespace: string, world: LintWorld): "production" | "test" | undefined {
  const labels = world.namespaceLabels(namespace);
  const labelled = ENVIRONMENT_LABELS.map((label) => labels[label]).find((value) => value !== undefined);
  const words = labelled === undefined ? namespace.split("-") : [labelled];
  if (words.some((word) => PRODUCTION.has(word.toLowerCase()))) return "production";
  if (words.some((word) => OTHER.has(word.toLowerCase()))) return "test";
  return undefined;
}

interface Use {
  readonly object: string;
  readonly path: string;
  readonly namespace: string;
}

export const sharedCredentials: LintRule = {
  code: "GW-LINT-008",
  title: "Credential shared between test and production",
  severity: "error",
  check(world) {
    const uses = new Map<string, Use[]>();
    const note = (namespace: string, ref: { readonly name: string; readonly key: string }, use: Use): void => {
      const value = secretValue(world, namespace, ref);
      if (value === undefined) return;
      const id = createHash("sha256").update(value).digest("hex");
      uses.set(id, [...(uses.get(id) ?? []), use]);
    };
    for (const { key, apiKeys, basic } of world.consumers) {
      const { namespace } = key;
      for (const [index, { secretRef }] of apiKeys.entries())
        note(namespace, secretRef, { object: keyText(key), path: `spec.apiKeys[${index}].secretRef`, namespace });
      if (basic !== undefined)
        note(namespace, basic.secretRef, { object: keyText(key), path: "spec.basic.secretRef", namespace });
    }
    return [...uses.values()].flatMap((shared): readonly Hit[] => {
      const production = shared.find(({ namespace }) => environmentOf(namespace, world) === "production");
      const tests = shared.filter(({ namespace }) => environmentOf(namespace, world) === "test");
      if (production === undefined) return [];
      return tests.map(({ object, path }) => ({
        object,
        path,
        message: `the credential is also that of ${production.object}: who tests can call production`,
        mend: "make a credential of its own for each environment, and replace the one of production",
      }));
    });
  },
};

function secretValue(
  { manifests }: LintWorld,
  namespace: string,
  { name, key }: { readonly name: string; readonly key: string },
): string | undefined {
  const data = dataOf(manifests.get(`Secret/${namespace}/${name}`));
  const value = data[key];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function dataOf(manifest: Manifest | undefined): Readonly<Record<string, unknown>> {
  return (manifest?.object["data"] ?? {}) as Readonly<Record<string, unknown>>;
}

/** Only of files: in a cluster a Secret is where it belongs. */
export const secretInManifest: LintRule = {
  code: "GW-LINT-011",
  title: "Secret in a manifest",
  severity: "warning",
  check: ({ manifests }) =>
    [...manifests.values()].flatMap((manifest): readonly Hit[] => {
      const { key, at } = manifest;
      if (key.kind !== "Secret" || at === undefined) return [];
      const names = Object.entries(dataOf(manifest)).filter(([, value]) => value !== "");
      if (names.length === 0) return [];
      return [
        {
          object: keyText(key),
          path: at.line("stringData") === at.line("") ? "data" : "stringData",
          message: `the values of ${names.map(([name]) => name).join(", ")} can be read by everybody who can read the file`,
          mend: "keep it out of the repository: External Secrets, Sealed Secrets, SOPS, or a Secret made by hand; and replace the value",
        },
      ];
    }),
};

/** A place that is not made for secrets: everybody with `get configmaps` or `get apipolicies` reads it. */
export const secretInTheOpen: LintRule = {
  code: "GW-LINT-018",
  title: "Secret key in a readable object",
  severity: "error",
  check: ({ manifests, policies }) => [
    ...[...manifests.values()].flatMap((manifest): readonly Hit[] => {
      if (manifest.key.kind !== "ConfigMap") return [];
      return Object.entries(dataOf(manifest)).flatMap(([name, value]): readonly Hit[] => {
        if (typeof value !== "string" || !(isPrivatePem(value) || hasPrivateJwk(value))) return [];
        return [readable(keyText(manifest.key), `data[${JSON.stringify(name)}]`)];
      });
    }),
    ...policies.flatMap((policy) =>
      (policy.sections.authentication?.jwt ?? []).flatMap(({ jwks }, index): readonly Hit[] =>
        jwks?.inline === undefined || !hasPrivateJwk(jwks.inline)
          ? []
          : [readable(keyText(policy.key), `spec.authentication.jwt[${index}].jwks.inline`)],
      ),
    ),
  ],
};

function readable(object: string, path: string): Hit {
  return {
    object,
    path,
    message: "a secret or private key stands where everybody who may list such objects reads it",
    mend: "keep it in a Secret, and replace the key",
  };
}

function isPrivatePem(text: string): boolean {
  return /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text);
}

/** RFC 7518: `d` is a private key, `k` a symmetric one. */
function hasPrivateJwk(text: string): boolean {
  try {
    const { keys } = JSON.parse(text) as { readonly keys?: unknown };
    return (
      Array.isArray(keys) &&
      (keys as readonly unknown[]).some(
        (key) => typeof key === "object" && key !== null && (Object.hasOwn(key, "d") || Object.hasOwn(key, "k")),
      )
    );
  } catch {
    return false;
  }
}

export const credentialRules: readonly LintRule[] = [sharedCredentials, secretInManifest, secretInTheOpen];
