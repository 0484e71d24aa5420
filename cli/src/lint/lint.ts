/** All rules over one world: findings with their place, worst first. */
import { parseApiConsumer } from "@gatewarden/core/kinds/api-consumer.ts";
import { parseApiPolicy } from "@gatewarden/core/kinds/api-policy.ts";
import type { Manifest } from "../offline/manifests.ts";
import type { OfflineWorld } from "../offline/world.ts";
import { compareFindings, type Finding, objectText, type RuleInfo } from "../report/finding.ts";
import type { Api } from "./apis.ts";
import { credentialRules } from "./credential-rules.ts";
import { floorOnOthersWord } from "./floor-rules.ts";
import { objectRules } from "./object-rules.ts";
import { routeRules } from "./route-rules.ts";
import type { LintRule, LintWorld } from "./rule.ts";
import { statusRules } from "./status-rules.ts";
import { weakTls } from "./tls-rules.ts";

/** In the order of their codes, which is that of the pages in docs/lint.md. */
export const LINT_RULES: readonly LintRule[] = [
  ...routeRules,
  ...objectRules,
  ...credentialRules,
  weakTls,
  floorOnOthersWord,
  ...statusRules,
].sort((a, b) => (a.code < b.code ? -1 : 1));

export const LINT_RULE_INFOS: readonly RuleInfo[] = LINT_RULES.map(({ code, title, severity }) => ({
  code,
  title,
  severity,
}));

/** A finding with the routes that it is about, as the score counts it. */
export interface Located extends Finding {
  readonly routes: readonly string[];
}

/** @param apis what holds where, of the same world */
export function lintWorld(
  manifests: ReadonlyMap<string, Manifest>,
  world: OfflineWorld,
  apis: readonly Api[],
  nowMs: number,
): LintWorld {
  const objects = [...manifests.values()];
  const labels = (namespace: string): Readonly<Record<string, string>> =>
    manifests.get(`Namespace//${namespace}`)?.object.metadata.labels ?? {};
  return {
    manifests,
    policies: objects.flatMap(({ key, object }) => (key.kind === "ApiPolicy" ? [parseApiPolicy(object)] : [])),
    consumers: objects.flatMap(({ key, object }) => (key.kind === "ApiConsumer" ? [parseApiConsumer(object)] : [])),
    statuses: new Map([...world.statuses()].map(([id, { status }]) => [id, status])),
    apis,
    namespaceLabels: labels,
    nowMs,
  };
}

export function lint(world: LintWorld, rules: readonly LintRule[] = LINT_RULES): readonly Located[] {
  return rules
    .flatMap((rule) =>
      rule.check(world).map((hit): Located => {
        const manifest = world.manifests.get(hit.object);
        const at = manifest?.at;
        return {
          code: rule.code,
          severity: hit.severity ?? rule.severity,
          object: manifest === undefined ? hit.object : objectText(manifest.key),
          path: hit.path ?? "",
          message: hit.message,
          mend: hit.mend,
          ...(at === undefined ? {} : { file: at.file, line: at.line(hit.path ?? "") }),
          routes: hit.routes ?? routesOf(hit.object, world.apis),
        };
      }),
    )
    .sort(compareFindings);
}

/** The routes that an object has to do with: itself, what its sections hold for, what its consumers may call. */
function routesOf(object: string, apis: readonly Api[]): readonly string[] {
  const [kind, namespace] = object.split("/");
  const concerned = apis.filter(
    (api) =>
      api.route === object ||
      api.gateway === object ||
      [...api.enforced.values(), ...api.audited.values()]
        .flat()
        .some(({ key }) => `ApiPolicy/${key.namespace}/${key.name}` === object) ||
      ((kind === "ApiConsumer" || kind === "Secret") &&
        (api.enforced.get("authentication") ?? []).some(({ key }) => key.namespace === namespace)),
  );
  return [...new Set(concerned.map(({ route }) => route))].sort();
}
