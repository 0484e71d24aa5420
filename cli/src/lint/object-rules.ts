/** What a policy, consumer or Secret shows by itself. */
import type { ParsedApiPolicy } from "@gatewarden/core/kinds/api-policy.ts";
import { dateTimeMs } from "@gatewarden/core/schema/date-time.ts";
import { keyText } from "@gatewarden/operator/kube/kinds.ts";
import type { Hit, LintRule } from "./rule.ts";

const DAY_MS = 86_400_000;
const SOON_DAYS = 30;

export const keyWithoutExpiry: LintRule = {
  code: "GW-LINT-006",
  title: "API key that never ends",
  severity: "warning",
  check: ({ consumers }) =>
    consumers.flatMap((consumer) =>
      consumer.apiKeys.flatMap((key, index): readonly Hit[] =>
        key.expiresAtMs !== undefined
          ? []
          : [
              {
                object: keyText(consumer.key),
                path: `spec.apiKeys[${index}]`,
                message: `key ${key.name} has no end: if it leaks, it works for ever`,
                mend: "write expiresAt, and a second key some weeks before it",
              },
            ],
      ),
    ),
};

export const keyEnds: LintRule = {
  code: "GW-LINT-014",
  title: "API key that has ended or ends soon",
  severity: "info",
  check: ({ consumers, nowMs }) =>
    consumers.flatMap((consumer) =>
      consumer.apiKeys.flatMap((key, index): readonly Hit[] => {
        const left = (key.expiresAtMs ?? Infinity) - nowMs;
        if (left > SOON_DAYS * DAY_MS) return [];
        const others = consumer.apiKeys.filter(
          (other) => other !== key && (other.expiresAtMs ?? Infinity) > nowMs + SOON_DAYS * DAY_MS,
        );
        const ended = left <= 0;
        if (others.length > 0 && !ended) return [];
        return [
          {
            object: keyText(consumer.key),
            path: `spec.apiKeys[${index}]`,
            message: ended
              ? `key ${key.name} has ended`
              : `key ${key.name} ends within ${SOON_DAYS} days, and no other key lives longer`,
            mend: ended ? "remove it" : "add the next key now, so that the caller can change over",
            severity: ended ? "info" : "warning",
          },
        ];
      }),
    ),
};

type List = "allowlist" | "denylist";

function entriesOf(policy: ParsedApiPolicy, list: List) {
  return (policy.sections[list]?.entries ?? []).map((entry, index) => ({
    entry,
    path: `spec.${list}.entries[${index}]`,
  }));
}

export const entryWithoutNote: LintRule = {
  code: "GW-LINT-007",
  title: "Allowlist entry without a note",
  severity: "info",
  check: ({ policies }) =>
    policies.flatMap((policy) =>
      entriesOf(policy, "allowlist").flatMap(({ entry, path }): readonly Hit[] =>
        entry.note !== undefined && entry.note.trim() !== ""
          ? []
          : [
              {
                object: keyText(policy.key),
                path,
                message: `nobody will know why ${entry.cidr} may call, so nobody will dare to remove it`,
                mend: "write a note that says whose address it is",
              },
            ],
      ),
    ),
};

export const entryEnded: LintRule = {
  code: "GW-LINT-016",
  title: "List entry that has ended",
  severity: "info",
  check: ({ policies, nowMs }) =>
    policies.flatMap((policy) =>
      (["allowlist", "denylist"] as const).flatMap((list) =>
        entriesOf(policy, list).flatMap(({ entry, path }): readonly Hit[] =>
          entry.expiresAt === undefined || dateTimeMs(entry.expiresAt) > nowMs
            ? []
            : [
                {
                  object: keyText(policy.key),
                  path,
                  message:
                    list === "allowlist"
                      ? `the entry for ${entry.cidr} has ended: it admits nobody`
                      : `the entry for ${entry.cidr} has ended: it refuses nobody`,
                  mend: "remove it, or write a later expiresAt",
                },
              ],
        ),
      ),
    ),
};

export const tokenWithoutAudience: LintRule = {
  code: "GW-LINT-009",
  title: "Tokens for any audience",
  severity: "error",
  check: ({ policies }) =>
    policies.flatMap((policy) =>
      (policy.sections.authentication?.jwt ?? []).flatMap((issuer, index): readonly Hit[] =>
        (issuer.audiences ?? []).length > 0
          ? []
          : [
              {
                object: keyText(policy.key),
                path: `spec.authentication.jwt[${index}]`,
                message: `${issuer.name} takes tokens that ${issuer.issuer} made for any other API`,
                mend: "write audiences",
              },
            ],
      ),
    ),
};

export const everyMethod: LintRule = {
  code: "GW-LINT-005",
  title: "Rule that allows every method",
  severity: "warning",
  check: ({ policies }) =>
    policies.flatMap((policy) =>
      (policy.sections.authorization?.rules ?? []).flatMap(({ name, action, methods }, index): readonly Hit[] =>
        action === "Deny" || methods !== undefined
          ? []
          : [
              {
                object: keyText(policy.key),
                path: `spec.authorization.rules[${index}]`,
                message: `rule ${name} allows every method, also those that the API may get later`,
                mend: "write methods",
              },
            ],
      ),
    ),
};

export const mayOpen: LintRule = {
  code: "GW-LINT-017",
  title: "Policy that opens when it is broken",
  severity: "warning",
  check: ({ policies }) =>
    policies.flatMap((policy): readonly Hit[] =>
      policy.failurePolicy !== "Open"
        ? []
        : [
            {
              object: keyText(policy.key),
              path: "spec.failurePolicy",
              message: "its targets are served without its limits while they are broken",
              mend: "remove failurePolicy, or keep it where serving matters more than limiting",
            },
          ],
    ),
};

export const objectRules: readonly LintRule[] = [
  everyMethod,
  keyWithoutExpiry,
  entryWithoutNote,
  tokenWithoutAudience,
  keyEnds,
  entryEnded,
  mayOpen,
];
