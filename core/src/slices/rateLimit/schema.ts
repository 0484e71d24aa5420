/** Section `rateLimit`: how many calls, counted by whom. Every matching limit counts. */
import * as z from "zod";
import { later } from "../../schema/later.ts";
import { atomicList, listMap, listSet, textMap } from "../../schema/list.ts";
import { consumerSelector } from "../../schema/reference.ts";
import { type Immutable, defaultsTo, oneOrMore, rule } from "../../schema/rule.ts";
import { HEADER_NAME, duration, matches, method, name, pathTemplate, text } from "../../schema/text.ts";

export const DEFAULTS = { maxKeys: 10_000, scope: "PerProxy", onFailure: "LocalFallback", headers: true } as const;

const MAX_KEY_NAME = 253;
const MAX_REQUESTS = 1_000_000_000;
const NAMED = ["Header", "Claim", "Query"] as const;

function countedBy() {
  const shape = z.strictObject({
    type: z
      .enum(["ClientIP", "Consumer", "Header", "Claim", "Query", "Path", "Method"])
      .describe("What tells callers apart. A call without it shares one bucket with all others without it."),
    name: text(MAX_KEY_NAME).describe("Name of the header, claim or query parameter.").exactOptional(),
  });
  const named = rule(shape, {
    cel: `has(self.name) == (self.type in [${NAMED.map((type) => `'${type}'`).join(", ")}])`,
    message: "has a name that its type does not have, or lacks it",
    fix: "write name with Header, Claim and Query, and only with these",
    check: ({ type, name }) => (name !== undefined) === NAMED.some((known) => known === type),
  });
  return rule(named, {
    cel: `self.type != 'Header' || !has(self.name) || ${matches(HEADER_NAME, "self.name")}`,
    message: "names what is no header",
    fix: "use letters, digits, '-' and '.'",
    check: ({ type, name = "" }) => type !== "Header" || HEADER_NAME.test(name),
  });
}

function match() {
  return oneOrMore(
    z.strictObject({
      methods: listSet(method(), 16).describe("One of these methods.").exactOptional(),
      paths: listSet(pathTemplate(), 16)
        .describe("One of these paths: `*` or `{x}` is one segment, `**` any rest.")
        .exactOptional(),
      headers: rule(textMap(text(), 16), {
        cel: `self.all(k, ${matches(HEADER_NAME, "k")})`,
        message: "holds what is no header name",
        fix: "use letters, digits, '-' and '.'",
        check: (headers) => Object.keys(headers).every((key) => HEADER_NAME.test(key)),
      })
        .describe("All of these headers with exactly these values.")
        .exactOptional(),
      consumerSelector: consumerSelector().describe("Calls of these ApiConsumers.").exactOptional(),
    }),
    ["methods", "paths", "headers", "consumerSelector"],
  );
}

function limit() {
  return z.strictObject({
    name: name().describe("Name of the limit; limits of farther policies are replaced by name."),
    requests: z.int().min(1).max(MAX_REQUESTS).describe("How many calls."),
    per: duration({ min: "1s", max: "24h" }).describe("In which time."),
    burst: defaultsTo(z.int().min(1).max(MAX_REQUESTS), "requests").describe("How many calls at once.").exactOptional(),
    by: defaultsTo(atomicList(countedBy(), 7), "everybody together").describe("Who is counted apart.").exactOptional(),
    match: defaultsTo(match(), "every call").describe("Which calls are counted.").exactOptional(),
    maxKeys: defaultsTo(z.int().min(1).max(100_000), DEFAULTS.maxKeys)
      .describe("Callers counted apart per proxy; beyond that they share one bucket.")
      .exactOptional(),
    scope: defaultsTo(z.enum(["PerProxy", "PerGateway", "Global"]), DEFAULTS.scope)
      .describe("PerGateway divides by the number of proxies. Global is not there yet.")
      .exactOptional(),
    onFailure: defaultsTo(z.enum(["Allow", "Deny", "LocalFallback"]), DEFAULTS.onFailure)
      .describe("With Global: what happens while its store is away.")
      .exactOptional(),
  });
}

export const schema = later(() =>
  z.strictObject({
    limits: listMap(limit(), "name", 16).describe("The limits."),
    headers: defaultsTo(z.boolean(), DEFAULTS.headers)
      .describe("Whether answers carry x-ratelimit-limit, -remaining and -reset.")
      .exactOptional(),
  }),
);
export type Spec = Immutable<z.output<ReturnType<typeof schema>>>;
export type LimitSpec = Spec["limits"][number];
