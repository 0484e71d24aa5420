/**
 * Whether Envoy will take a regular expression (RE2, https://github.com/google/re2/wiki/Syntax). One that it does not take would make it
 * refuse everything that came in the same message. JavaScript's own parser is no judge: it takes look-around and back references, and
 * does not take inline flags.
 */

/** Why RE2 would not compile it; undefined: it will. */
export function regexFault(pattern: string): string | undefined {
  const reader: Reader = { text: Array.from(pattern), at: 0 };
  try {
    const size = alternatives(reader, 0, 1);
    if (reader.at < reader.text.length) return "has a ) without its (";
    return size > MAX_SIZE ? "is too large: it repeats too much" : undefined;
  } catch (error) {
    if (error instanceof Fault) return error.message;
    throw error;
  }
}

interface Reader {
  readonly text: readonly string[];
  at: number;
}

class Fault extends Error {}

/**
 * Envoy's runtime value `re2.max_program_size.error_level`, which our bootstrap sets: its own default of 100 steps is less than one long name
 * needs. Every proxy's bootstrap must have it (xds/src/bootstrap.ts).
 */
export const MAX_PROGRAM_SIZE = 100_000;
/** Runtime values that the configuration that we emit relies on. */
export const RUNTIME = {
  "re2.max_program_size.error_level": MAX_PROGRAM_SIZE,
  "re2.max_program_size.warn_level": MAX_PROGRAM_SIZE,
} as const;

/** Steps as they are estimated here, well below what they come to in Envoy. */
const MAX_SIZE = 20_000;
const CLASS_SIZE = 4;
const UNICODE_CLASS_SIZE = 20;
/** Envoy compiles for Latin-1: a character is a byte. */
const MAX_CODE = 0xff;
const MAX_DEPTH = 200;
const NOTHING = 0;
const MAX_REPEAT = 1_000;

/** Size of what was read, up to the `)` or the end. `times`: how often enclosing repetitions repeat it. */
function alternatives(reader: Reader, depth: number, times: number): number {
  if (depth > MAX_DEPTH) throw new Fault("nests too deeply");
  let size = 1;
  for (;;) {
    size += sequence(reader, depth, times);
    if (peek(reader) !== "|") return size;
    reader.at += 1;
  }
}

function sequence(reader: Reader, depth: number, times: number): number {
  let size = 0;
  for (let next = peek(reader); next !== undefined && next !== "|" && next !== ")"; next = peek(reader)) {
    size += repeated(reader, depth, times);
  }
  return size;
}

function repeated(reader: Reader, depth: number, times: number): number {
  if (repetition(reader) !== undefined) throw new Fault("repeats nothing");
  const start = reader.at;
  const once = atom(reader, depth, times);
  const repeat = repetition(reader);
  if (repeat === undefined) return once;
  if (once === NOTHING) throw new Fault("repeats nothing");
  if (repetition(reader) !== undefined) throw new Fault("repeats a repetition");
  if (repeat <= 1) return once + 1;
  if (times * repeat > MAX_REPEAT) throw new Fault(`repeats more than ${MAX_REPEAT} times`);
  // Read again so that repetitions inside are multiplied.
  const end = reader.at;
  reader.at = start;
  const size = atom(reader, depth, times * repeat);
  reader.at = end;
  return size * repeat;
}

/** Reads `*`, `+`, `?` or `{n,m}` with the `?` behind it and returns how many copies it makes; undefined where there is none. */
function repetition(reader: Reader): number | undefined {
  const next = peek(reader);
  if (next === "*" || next === "+" || next === "?") {
    reader.at += 1;
    skip(reader, "?");
    return 1;
  }
  const counted = /^\{(\d+)(?:,(\d*))?\}/.exec(rest(reader, 16));
  if (counted === null) return undefined;
  const [all, least = "", most] = counted;
  const [low, high] = [Number(least), most === undefined || most === "" ? Number(least) : Number(most)];
  if (low > MAX_REPEAT || high > MAX_REPEAT) throw new Fault(`repeats more than ${MAX_REPEAT} times`);
  if (high < low) throw new Fault("repeats at least more often than at most");
  reader.at += all.length;
  skip(reader, "?");
  return Math.max(high, 1);
}

function atom(reader: Reader, depth: number, times: number): number {
  const next = take(reader);
  if (next === "(") return group(reader, depth, times);
  if (next === "[") return characterClass(reader);
  if (next === "\\") return escape(reader);
  return 1;
}

function group(reader: Reader, depth: number, times: number): number {
  if (peek(reader) === "?") {
    const head = /^\?(?:P?<([A-Za-z0-9_]+)>|([imsU]*(?:-[imsU]+)?)(:|\)))/.exec(rest(reader, 80));
    if (head === null) throw new Fault("has a group (?… that RE2 does not know, such as look-ahead");
    reader.at += head[0].length;
    if (head[3] === ")") return NOTHING; // flags for the rest
  }
  const size = alternatives(reader, depth + 1, times);
  if (take(reader) !== ")") throw new Fault("has a ( without its )");
  return size + 2;
}

function characterClass(reader: Reader): number {
  let size = CLASS_SIZE;
  skip(reader, "^");
  for (let first = true; first || peek(reader) !== "]"; first = false) {
    const low = classMember(reader);
    size += low.size;
    if (peek(reader) !== "-" || reader.text[reader.at + 1] === "]") continue;
    reader.at += 1;
    const high = classMember(reader);
    if (low.code === undefined || high.code === undefined || low.code > high.code)
      throw new Fault("has a range in [] that runs backwards");
  }
  reader.at += 1;
  return size;
}

interface Member {
  readonly size: number;
  /** The one character that it is. */
  readonly code?: number;
}

function classMember(reader: Reader): Member {
  const named = /^\[:\^?([a-z]*):\]/.exec(rest(reader, 16));
  if (named !== null) {
    if (!POSIX_CLASSES.has(named[1] ?? "")) throw new Fault("names a class in [] that RE2 does not know");
    reader.at += named[0].length;
    return { size: 1 };
  }
  const next = take(reader);
  if (next === undefined) throw new Fault("has a [ without its ]");
  if (next !== "\\") return { size: 1, code: next.codePointAt(0) ?? 0 };
  if (/[AzbBCQ]/.test(peek(reader) ?? "")) throw new Fault("has an escape in [] that means nothing there");
  const start = reader.at;
  const size = escape(reader);
  const code = escapedCode(reader.text.slice(start, reader.at).join(""));
  return code === undefined ? { size } : { size, code };
}

const POSIX_CLASSES: ReadonlySet<string> = new Set([
  ...["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph"],
  ...["lower", "print", "punct", "space", "upper", "word", "xdigit"],
]);

/** Behind the backslash. */
function escape(reader: Reader): number {
  const text = rest(reader, 80);
  const quoted = /^Q([\s\S]*)$/.exec(text);
  if (quoted !== null) return literal(reader);
  const unicode = /^[pP](?:\{\^?([A-Za-z_]+)\}|([A-Z]))/.exec(text);
  if (unicode !== null) {
    if (!isUnicodeClass(unicode[1] ?? unicode[2] ?? ""))
      throw new Fault("names a Unicode class that RE2 does not know");
    reader.at += unicode[0].length;
    return UNICODE_CLASS_SIZE;
  }
  const known =
    /^(?:[dDsSwW]|[AzbBC]|[aftnrv]|x[0-9A-Fa-f]{2}|x\{[0-9A-Fa-f]+\}|0[0-7]{0,2}|[1-7][0-7]{1,2}|[!-/:-@[-`{-~])/.exec(
      text,
    );
  if (known === null)
    throw new Fault(
      text === "" ? "ends in a backslash" : "has an escape that RE2 does not know, such as a back reference",
    );
  const code = escapedCode(known[0]);
  if (code !== undefined && code > MAX_CODE) throw new Fault("has an escape beyond \\xff");
  reader.at += known[0].length;
  return 1;
}

/** `\Q…\E`, or to the end. */
function literal(reader: Reader): number {
  const start = reader.at + 1;
  let end = start;
  while (end < reader.text.length && !(reader.text[end] === "\\" && reader.text[end + 1] === "E")) end += 1;
  reader.at = Math.min(end + 2, reader.text.length);
  return end - start;
}

function escapedCode(escaped: string): number | undefined {
  const hex = /^x\{?([0-9A-Fa-f]+)\}?$/.exec(escaped)?.[1];
  if (hex !== undefined) return Number.parseInt(hex, 16);
  if (/^[0-7]+$/.test(escaped)) return Number.parseInt(escaped, 8);
  const control = "aftnrv".indexOf(escaped);
  if (control >= 0) return [7, 12, 9, 10, 13, 11][control];
  return /^[!-/:-@[-`{-~]$/.test(escaped) ? escaped.codePointAt(0) : undefined;
}

function isUnicodeClass(name: string): boolean {
  if (name === "Any") return true;
  if (name.length <= 2) return /^(L[ulmto]?|M[nce]?|N[dlo]?|P[cdseifo]?|S[mcko]?|Z[slp]?|C[cfos]?)$/.test(name);
  try {
    return new RegExp(`\\p{Script=${name}}`, "u") instanceof RegExp;
  } catch {
    return false;
  }
}

function peek({ text, at }: Reader): string | undefined {
  return text[at];
}

function take(reader: Reader): string | undefined {
  const next = reader.text[reader.at];
  reader.at += 1;
  return next;
}

function skip(reader: Reader, character: string): void {
  if (peek(reader) === character) reader.at += 1;
}

function rest({ text, at }: Reader, limit: number): string {
  return text.slice(at, at + limit).join("");
}
