/** Section `authorization`: who may do what. Rules in order, the first that matches decides (api.md "Authorization"). */
import * as z from "zod";
import { identities } from "../../schema/identity.ts";
import { later } from "../../schema/later.ts";
import { atomicList, listSet } from "../../schema/list.ts";
import { type Immutable, defaultsTo, oneOrMore, rule } from "../../schema/rule.ts";
import { cidr, duration, method, name, pathTemplate, text, word } from "../../schema/text.ts";

export const DEFAULTS = { defaultAction: "Deny" } as const;

export const MAX_RULES = 64;
const MAX_WHEN = 4_096;
/** What 64 rules together may cost the API server to check is bounded: hence these, below what the kinds of text could be elsewhere. */
const MAX_PATH = 1_024;
const MAX_IDENTITIES = 32;

function claim() {
  return z.strictObject({
    provider: name()
      .describe("Name of the jwt entry whose tokens are meant; needed where several stand.")
      .exactOptional(),
    path: atomicList(text(253), 8).describe("Path of the claim, one segment each."),
    values: listSet(text(253), 32).describe("One of these: the claim's value, or one of its values."),
  });
}

function mfa() {
  return oneOrMore(
    z.strictObject({
      acr: listSet(word("authentication context"), 8).describe("`acr` must be one of these.").exactOptional(),
      amr: listSet(word("authentication method"), 16).describe("`amr` must hold one of these.").exactOptional(),
      maxAge: duration({ min: "1s", max: "9999h" })
        .describe("How long ago the person may have signed in (`auth_time`).")
        .exactOptional(),
    }),
    ["acr", "amr", "maxAge"],
  );
}

function authorizationRule() {
  const shape = z.strictObject({
    name: name().describe("Name of the rule; refusals, logs and ApiGrants say it."),
    action: z.enum(["Allow", "Deny"]).describe("What happens to a call that fits everything below."),
    methods: listSet(method(), 16).describe("One of these methods.").exactOptional(),
    paths: listSet(pathTemplate(MAX_PATH), 16)
      .describe("One of these paths: `*` or `{x}` is one segment, `**` any rest.")
      .exactOptional(),
    roles: listSet(text(253), 16)
      .describe("One of these roles, of the ApiConsumer or in the token's rolesClaim.")
      .exactOptional(),
    scopes: listSet(word("scope"), 16).describe("All of these scopes in the token.").exactOptional(),
    consumers: listSet(name(), 64).describe("One of these ApiConsumers of the policy's namespace.").exactOptional(),
    identities: identities(1, MAX_IDENTITIES)
      .describe("One of these names in the client's certificate.")
      .exactOptional(),
    claims: atomicList(claim(), 8).describe("All of these claims in the token.").exactOptional(),
    sources: listSet(cidr(), 64).describe("The client's address is in one of these ranges.").exactOptional(),
    when: z.string().min(1).max(MAX_WHEN).describe("CEL that must be true (docs/authorization.md).").exactOptional(),
    mfa: mfa()
      .describe("How the person must have signed in, or else the call is asked to step up (401, RFC 9470).")
      .exactOptional(),
    grant: z.literal("Required").describe("The consumer needs a live ApiGrant for this rule.").exactOptional(),
  });
  return rule(shape, {
    cel: "self.action == 'Allow' || !(has(self.mfa) || has(self.grant))",
    message: "denies and asks for mfa or a grant",
    fix: "remove mfa and grant, or write action: Allow",
    check: ({ action, mfa, grant }) => action === "Allow" || (mfa === undefined && grant === undefined),
  });
}

function section() {
  // Without CEL: 64 names of 253 characters, compared with one another, cost the server more than the rule is worth.
  const rules = rule(atomicList(authorizationRule(), MAX_RULES), {
    message: "has two rules of one name",
    fix: "name each rule for itself",
    check: (list) => new Set(list.map((one) => one.name)).size === list.length,
  });
  return oneOrMore(
    z.strictObject({
      defaultAction: defaultsTo(z.enum(["Allow", "Deny"]), DEFAULTS.defaultAction)
        .describe("What happens when no rule fits.")
        .exactOptional(),
      rules: rules.describe("In order; the first that fits decides.").exactOptional(),
    }),
    ["defaultAction", "rules"],
  );
}

export const schema = later(section);
export type Spec = Immutable<z.output<ReturnType<typeof schema>>>;
export type RuleSpec = NonNullable<Spec["rules"]>[number];
