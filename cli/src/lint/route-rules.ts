/** What is missing or too weak on a route, counted from the policies that hold there. */
import { keyText } from "@gatewarden/operator/kube/kinds.ts";
import { type Api, perRule, redirects } from "./apis.ts";
import type { Hit, LintRule } from "./rule.ts";

type Mode = "Required" | "Optional" | "Public";

/** How calls are identified here; undefined: nobody says, so every call is refused (or, without the floor, let in). */
function modeOf(api: Api): Mode | undefined {
  const [nearest] = api.enforced.get("authentication") ?? [];
  return nearest === undefined ? undefined : (nearest.sections.authentication?.mode ?? "Required");
}

const served = (apis: readonly Api[]): readonly Api[] => apis.filter((api) => !redirects(api) && !api.closed);

function onRule(api: Api, message: string, mend: string, rest: Partial<Hit> = {}): Hit {
  return { object: api.route, path: `spec.rules[${api.at}]`, routes: [api.route], message, mend, ...rest };
}

export const unprotectedRoute: LintRule = {
  code: "GW-LINT-001",
  title: "Route without authentication",
  severity: "error",
  check: ({ apis }) =>
    perRule(served(apis)).flatMap((api): readonly Hit[] => {
      const mode = modeOf(api);
      if (mode === "Public") {
        const [by] = api.enforced.get("authentication") ?? [];
        const reason = by?.sections.authentication?.reason ?? "";
        const message = `everybody may call: ${by === undefined ? "" : keyText(by.key)} makes it Public (${reason})`;
        return [onRule(api, message, "make sure that it is meant; else write mode: Required", { severity: "info" })];
      }
      if (mode !== undefined) return [];
      const audited = api.audited.has("authentication") ? ": its authentication is in Audit mode only" : "";
      return [
        onRule(
          api,
          `no policy says who may call${audited}`,
          "write an ApiPolicy with authentication for the route, its Namespace or its Gateway",
        ),
      ];
    }),
};

export const addressesOnly: LintRule = {
  code: "GW-LINT-002",
  title: "Addresses are the only protection",
  severity: "error",
  check: ({ apis }) =>
    perRule(served(apis)).flatMap((api) => {
      const mode = modeOf(api);
      if (!api.enforced.has("allowlist") || (mode !== "Public" && mode !== "Optional" && mode !== undefined)) return [];
      const message =
        "an allowlist of addresses is all that keeps callers out; addresses are shared, borrowed and forged";
      return [onRule(api, message, "write authentication with mode: Required beside the allowlist")];
    }),
};

export const noRateLimit: LintRule = {
  code: "GW-LINT-003",
  title: "Route without a rate limit",
  severity: "warning",
  check: ({ apis }) =>
    perRule(served(apis)).flatMap((api) =>
      api.enforced.has("rateLimit")
        ? []
        : [
            onRule(
              api,
              api.audited.has("rateLimit")
                ? "its rate limit is in Audit mode only"
                : "nothing limits how often it is called",
              "write rateLimit.limits in a policy of the route, its Namespace or its Gateway",
            ),
          ],
    ),
};

export const plainListener: LintRule = {
  code: "GW-LINT-004",
  title: "Listener without TLS",
  severity: "warning",
  check: ({ apis }) => {
    const plain = new Map<string, { readonly api: Api; readonly routes: Set<string> }>();
    for (const api of apis) {
      if (api.listener.protocol !== "HTTP" || redirects(api)) continue;
      const id = `${api.gateway} ${api.listener.name}`;
      const found = plain.get(id) ?? { api, routes: new Set<string>() };
      plain.set(id, found);
      found.routes.add(api.route);
    }
    return [...plain.values()].map(({ api: { gateway, listener }, routes }) => ({
      object: gateway,
      path: `spec.listeners[${listener.index}]`,
      routes: [...routes].sort(),
      message: `listener ${listener.name} serves ${routes.size === 1 ? "a route" : `${routes.size} routes`} in clear text: credentials can be read on the way`,
      mend: "serve the routes on an HTTPS listener, and only redirects here",
    }));
  },
};

export const auditOnly: LintRule = {
  code: "GW-LINT-015",
  title: "Section in Audit mode only",
  severity: "info",
  check: ({ apis }) =>
    perRule(served(apis)).flatMap((api) =>
      [...api.audited.keys()]
        .filter((section) => !api.enforced.has(section))
        .map((section) =>
          onRule(
            api,
            `${section} is evaluated and denies nothing`,
            "set mode: Enforce on the policy once its log shows what you expect",
          ),
        ),
    ),
};

export const routeRules: readonly LintRule[] = [unprotectedRoute, addressesOnly, noRateLimit, plainListener, auditOnly];
