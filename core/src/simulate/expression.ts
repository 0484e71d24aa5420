/**
 * Regular expressions as Envoy's RE2 reads them, run by JavaScript: what both have is left as it is, what is written differently is
 * translated. `envoy/re2.ts` has refused what RE2 does not take; look-around and back references never come here.
 */

/** Whether the whole text fits. Both are compared byte by byte, as Envoy does. */
export function fits(expression: string, text: string): boolean {
  let compiled = known.get(expression);
  if (compiled === undefined) {
    compiled = new RegExp(`^(?:${translated(expression)})$`);
    if (known.size >= MAX_KNOWN) known.clear();
    known.set(expression, compiled);
  }
  return compiled.test(bytes(text));
}
const known = new Map<string, RegExp>();
const MAX_KNOWN = 1_000;

function bytes(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

const SPACE = "\\t\\n\\f\\r ";
const NO_SPACE = "\\x00-\\x08\\x0b\\x0e-\\x1f\\x21-\\xff";
const POSIX: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  ascii: "\\x00-\\x7f",
  blank: "\\t ",
  cntrl: "\\x00-\\x1f\\x7f",
  digit: "0-9",
  graph: "!-~",
  lower: "a-z",
  print: " -~",
  punct: "!-\\/:-@\\[-`{-~",
  space: "\\t\\n\\v\\f\\r ",
  upper: "A-Z",
  word: "0-9A-Za-z_",
  xdigit: "0-9A-Fa-f",
};

function translated(expression: string): string {
  const text = bytes(expression);
  let out = "";
  const outer: (readonly string[])[] = [];
  let flagged: readonly string[] = []; // groups that flags have opened inside of the group that is open
  const closed = (): string => ")".repeat(flagged.length);
  const enter = (opening: string): void => {
    out += opening;
    outer.push(flagged);
    flagged = [];
  };
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at);
    const quoted = /^\\Q([\s\S]*?)(?:\\E|$)/.exec(rest);
    const flags = /^\(\?([imsU]*)(?:-([imsU]+))?([:)])/.exec(rest);
    const named = /^\(\?P?<[A-Za-z0-9_]+>/.exec(rest);
    const token = quoted ?? flags ?? named ?? /^(?:\\[\s\S]|[\s\S])/.exec(rest);
    const [all] = token ?? [""];
    at += all.length;
    if (quoted !== null) out += (quoted[1] ?? "").replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
    else if (flags !== null) {
      const modifier = `(?${modifiers(flags[1] ?? "", flags[2] ?? "")}:`;
      if (flags[3] === ":") enter(modifier);
      else {
        out += modifier; // to the end of the group, over all its alternatives
        flagged = [...flagged, modifier];
      }
    } else if (named !== null || all === "(") enter("(?:");
    else if (all === "|") out += `${closed()}|${flagged.join("")}`;
    else if (all === ")") {
      out += `${closed()})`;
      flagged = outer.pop() ?? [];
    } else if (all === "[") {
      const end = classEnd(text, at);
      out += characterClass(text.slice(at, end));
      at = end + 1;
    } else if (all.startsWith("\\")) {
      const escape = escaped(text, at - all.length);
      out += escape.inside ? `[${escape.text}]` : escape.text;
      at = escape.end;
    } else out += all;
  }
  return out + closed();
}

/** `U` turns greed around, which no whole text notices. */
function modifiers(on: string, off: string): string {
  const kept = (letters: string): string => [...new Set(letters.replaceAll("U", ""))].join("");
  const [yes, no] = [kept(on), kept(off)];
  const both = Array.from(yes)
    .filter((letter) => !no.includes(letter))
    .join("");
  return no === "" ? both : `${both}-${no}`;
}

interface Escape {
  readonly text: string;
  readonly end: number;
  /** Members of a class without its brackets. */
  readonly inside: boolean;
}

function escaped(text: string, at: number): Escape {
  const rest = text.slice(at);
  const property = /^\\([pP])(?:\{(\^?)(\w+)\}|(\w))/.exec(rest);
  if (property !== null) {
    const [all, kind, caret = "", long, short] = property;
    const negated = (kind === "P") !== (caret === "^");
    return { text: latinProperty(long ?? short ?? "", negated), end: at + all.length, inside: true };
  }
  const hex = /^\\x(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2}))/.exec(rest);
  if (hex !== null)
    return { text: code(Number.parseInt(hex[1] ?? hex[2] ?? "", 16)), end: at + hex[0].length, inside: false };
  const octal = /^\\(0[0-7]{0,2}|[1-7][0-7]{1,2})/.exec(rest);
  if (octal !== null)
    return { text: code(Number.parseInt(octal[1] ?? "", 8)), end: at + octal[0].length, inside: false };
  const character = text[at + 1] ?? "";
  const end = at + 2;
  switch (character) {
    case "s":
      return { text: SPACE, end, inside: true };
    case "S":
      return { text: NO_SPACE, end, inside: true };
    case "A":
      return { text: "^", end, inside: false };
    case "z":
      return { text: "$", end, inside: false };
    case "a":
      return { text: "\\x07", end, inside: false };
    case "C":
      return { text: "\\x00-\\xff", end, inside: true };
    default:
      return { text: `\\${character}`, end, inside: false };
  }
}

function code(value: number): string {
  return `\\x${value.toString(16).padStart(2, "0")}`;
}

/** Members of a Unicode class below 256: Envoy sees bytes. */
function latinProperty(name: string, negated: boolean): string {
  const property = new RegExp(name.length > 2 ? `\\p{Script=${name}}` : `\\p{${name}}`, "u");
  const members = Array.from({ length: 256 }, (_, value) => value).filter(
    (value) => property.test(String.fromCharCode(value)) !== negated,
  );
  return members.map(code).join("");
}

/** Index of the `]` that ends the class that began before `at`. */
function classEnd(text: string, start: number): number {
  let at = start;
  if (text[at] === "^") at += 1;
  if (text[at] === "]") at += 1;
  while (at < text.length && text[at] !== "]") {
    if (text[at] === "\\") at += 2;
    else if (text.startsWith("[:", at) && text.includes(":]", at)) at = text.indexOf(":]", at) + 2;
    else at += 1;
  }
  return at;
}

function characterClass(body: string): string {
  let out = "";
  let at = 0;
  if (body[0] === "^") {
    out += "^";
    at = 1;
  }
  while (at < body.length) {
    const posix = /^\[:(\^?)(\w+):\]/.exec(body.slice(at));
    if (posix !== null) {
      const members = POSIX[posix[2] ?? ""] ?? "";
      out += posix[1] === "^" ? complement(members) : members;
      at += posix[0].length;
    } else if (body[at] === "\\") {
      const escape = escaped(body, at);
      out += escape.text;
      at = escape.end;
    } else {
      out += body[at] === "]" || body[at] === "[" ? `\\${body[at] ?? ""}` : (body[at] ?? "");
      at += 1;
    }
  }
  return `[${out}]`;
}

function complement(members: string): string {
  const inside = new RegExp(`[${members}]`);
  return Array.from({ length: 256 }, (_, value) => value)
    .filter((value) => !inside.test(String.fromCharCode(value)))
    .map(code)
    .join("");
}
