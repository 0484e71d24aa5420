/** The kinds of text in our specs. Patterns stay inside what JavaScript and RE2 (CEL) read alike; refusals say what to write. */
import * as z from "zod";
import { parseCidr } from "./cidr.ts";
import { DATE_TIME, dateTimeMs } from "./date-time.ts";
import { DURATION, durationMs } from "./duration.ts";
import { rule } from "./rule.ts";

export const MAX_NAME = 253;
export const MAX_TEXT = 2_048;

interface Format {
  readonly pattern: RegExp;
  readonly max: number;
  readonly message: string;
  readonly fix: string;
  readonly min?: number;
}

function format({ pattern, max, message, fix, min = 1 }: Format): z.ZodString {
  return rule(z.string().min(min).max(max), {
    cel: matches(pattern),
    message,
    fix,
    check: (text) => pattern.test(text),
  });
}

/** `matches` in CEL; raw string, so that backslashes stay what they are. */
export function matches(pattern: RegExp, operand = "self"): string {
  return `${operand}.matches(r'${pattern.source.replaceAll("\\/", "/")}')`;
}

/** Any text that can stand in a header or a log line: no control characters. */
export function text(max = MAX_TEXT, min = 1): z.ZodString {
  return format({
    min,
    pattern: /^[^\x00-\x1f\x7f]*$/,
    max,
    message: "holds a control character",
    fix: "write printable text on one line",
  });
}

/** Name of a Kubernetes object, or of an entry of ours. */
export function name(): z.ZodString {
  return format({
    pattern: /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/,
    max: MAX_NAME,
    message: "is no name",
    fix: "use lower-case letters, digits, '-' and '.', with a letter or digit at both ends",
  });
}

export function namespaceName(): z.ZodString {
  return format({
    pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/,
    max: 63,
    message: "is no namespace name",
    fix: "use lower-case letters, digits and '-', with a letter or digit at both ends",
  });
}

/** Key inside a ConfigMap or Secret. */
export function dataKey(): z.ZodString {
  return format({
    pattern: /^[-._a-zA-Z0-9]+$/,
    max: MAX_NAME,
    message: "is no key of a ConfigMap or Secret",
    fix: "use letters, digits, '-', '_' and '.'",
  });
}

/** Header of a request, in lower case after parsing. No underscore: proxies refuse such headers, so it could never match. */
export function headerName(): z.ZodString {
  return format({
    pattern: HEADER_NAME,
    max: MAX_NAME,
    message: "is no header name",
    fix: "use letters, digits, '-' and '.' (headers with '_' never reach a policy)",
  }).toLowerCase();
}
export const HEADER_NAME = /^[A-Za-z0-9][A-Za-z0-9.-]*$/;

/** Header that carries an identity that we verified; a client's own copy is removed (rules A11). */
export function identityHeader(): z.ZodString {
  return rule(
    format({
      pattern: /^x-[a-z0-9-]+$/,
      max: MAX_NAME,
      message: "is no header for an identity",
      fix: "write x- and lower-case letters, digits and '-'",
    }),
    {
      cel: `!self.matches(r'${RESERVED_HEADER.source}')`,
      message: "is a reserved header",
      fix: "choose a name other than x-forwarded-*, x-envoy-*, x-gatewarden-* and x-request-id",
      check: (text) => !RESERVED_HEADER.test(text),
    },
  );
}
const RESERVED_HEADER = /^x-(forwarded-|envoy-|gatewarden-|request-id$)/;

/** Name of a query parameter or cookie. */
export function token(what: string): z.ZodString {
  return format({
    pattern: /^[A-Za-z0-9!#$%&*+.^_|~-]+$/,
    max: MAX_NAME,
    message: `is no ${what} name`,
    fix: "use letters, digits and !#$%&*+.^_|~- without spaces",
  });
}

/** A word as tokens list them, separated by spaces (RFC 6749 section 3.3): a scope, a value of `acr`. */
export function word(what: string): z.ZodString {
  return format({
    pattern: /^[!#-\[\]-~]+$/,
    max: MAX_NAME,
    message: `is no ${what}`,
    fix: "use printable ASCII without spaces, quotes and backslashes",
  });
}

export function httpsUrl(): z.ZodString {
  return format({
    pattern: /^https:\/\/[A-Za-z0-9.:\[\]-]+(\/[^\s#]*)?$/,
    max: MAX_TEXT,
    message: "is no https URL",
    fix: "write https://host/path, without user, password and fragment",
  });
}

export interface DurationBounds {
  readonly min: string;
  readonly max: string;
}

export function duration({ min, max }: DurationBounds): z.ZodString {
  const [minMs, maxMs] = [durationMs(min), durationMs(max)];
  return rule(z.string().max(28), {
    cel: `${matches(DURATION)} && duration(self) >= duration('${min}') && duration(self) <= duration('${max}')`,
    message: "is no duration within bounds",
    fix: `write a number with h, m, s or ms from ${min} to ${max}, like 1m30s`,
    check: (text) => durationMs(text) >= minMs && durationMs(text) <= maxMs,
  });
}

export function dateTime(): z.ZodString {
  // No `format: date-time`: CEL would see a timestamp, whose text cannot be matched. timestamp() refuses 30 February, which no pattern sees.
  return rule(z.string().max(35), {
    cel: `${matches(DATE_TIME)} && timestamp(self) != timestamp('0001-01-01T00:00:00Z')`,
    message: "is no point in time",
    fix: "write it like 2027-01-01T00:00:00Z",
    check: (text) => !Number.isNaN(dateTimeMs(text)),
  });
}

export function cidr(): z.ZodString {
  return rule(z.string().max(43), {
    cel: "isCIDR(self)",
    message: "is no address range",
    fix: "write address/bits, like 203.0.113.0/24, 2001:db8::/32 or 198.51.100.7/32 for one address",
    check: (text) => parseCidr(text) !== undefined,
  });
}

export function method(): z.ZodString {
  return format({
    pattern: /^[A-Z][A-Z-]*$/,
    max: 32,
    message: "is no HTTP method",
    fix: "write it in capitals, like GET",
  });
}

/** `/a/*` and `/a/{id}`: any one segment; `/a/**`: any rest. Whole segments only, and none that a proxy would rewrite. */
export function pathTemplate(max = MAX_TEXT): z.ZodString {
  return rule(
    format({
      pattern: /^\/$|^(\/([A-Za-z0-9._~!$&()+,=:@%-]+|[*]|[{][A-Za-z0-9_]+[}]))*(\/[*][*]|\/)?$/,
      max,
      message: "is no path template",
      fix: "begin with '/', and write whole segments: text, '*', '{name}', and '**' only at the end",
    }),
    {
      cel: "!self.matches(r'/[.][.]?(/|$)')",
      message: "holds '.' or '..' as a segment",
      fix: "write the path as it is after normalisation",
      check: (path) => !/\/[.][.]?(\/|$)/.test(path),
    },
  );
}

/** One file name: no way out of its directory. */
export function fileName(): z.ZodString {
  return format({
    pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
    max: MAX_NAME,
    message: "is no file name",
    fix: "use letters, digits, '.', '_' and '-', without '/', and begin with a letter or digit",
  });
}
