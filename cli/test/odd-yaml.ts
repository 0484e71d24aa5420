/** Writes values as YAML in spellings that nobody would choose, each of which every reader of YAML takes for the same value. */

export type Random = () => number; // 0 ≤ x < 1
export type Value = string | number | readonly Value[] | { readonly [key: string]: Value };

export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function pick<T>(random: Random, from: readonly T[]): T {
  const found = from[Math.floor(random() * from.length)];
  if (found === undefined) throw new Error("nothing to pick from");
  return found;
}

/** How odd a document is as a whole: 0 is what people write. */
interface Style {
  readonly random: Random;
  readonly oddness: number;
  anchors: number;
}

/** Comments that look like fields and markers. */
const COMMENTS = ["# x", "# hostnames: [a.test]", "# kind: HTTPRoute", '# "', "# '", "# &a *a !!str |", "# ---", "#"];

export function oddDocument(random: Random, value: Value): string {
  const style: Style = { random, oddness: pick(random, [0, 0, 0.1, 0.5]), anchors: 0 };
  return chance(style) && random() < 0.3
    ? `${JSON.stringify(value, null, pick(random, [0, 1, 2]))}\n`
    : block(style, value, 0).replace(/^\n/, "");
}

function chance({ random, oddness }: Style): boolean {
  return random() < oddness;
}

/** What stands behind a `:` or `-`, with the space or line break before it. */
function block(style: Style, value: Value, indent: number): string {
  const { random } = style;
  if (typeof value !== "object") return ` ${scalar(style, value, indent, false)}${comment(style)}\n`;
  const members = Array.isArray(value) ? value.length : Object.keys(value).length;
  if (members === 0 || (indent > 0 && random() < 0.4)) return ` ${flow(style, value, indent)}${comment(style)}\n`;
  const mark = indent > 0 && chance(style) ? ` ${anchor(style)}` : "";
  const pad = " ".repeat(indent);
  const lines = Array.isArray(value)
    ? (value as readonly Value[]).map((one) => `${pad}-${block(style, one, indent + 2)}`)
    : shuffled(style, Object.entries(value as Readonly<Record<string, Value>>)).map(([key, one]) =>
        chance(style) && random() < 0.3
          ? `${pad}? ${word(style, key)}\n${pad}:${block(style, one, indent + 2)}`
          : `${pad}${word(style, key)}${chance(style) ? " " : ""}:${block(style, one, indent + 2)}`,
      );
  return `${mark}${comment(style)}\n${lines.map((line) => (chance(style) ? `${pad}${pick(random, COMMENTS)}\n${line}` : line)).join("")}`;
}

function flow(style: Style, value: Value, indent: number): string {
  if (typeof value !== "object") return scalar(style, value, indent, true);
  const gap = (): string => (chance(style) ? pick(style.random, ["  ", `\n${" ".repeat(indent + 1)}`]) : "");
  const mark = chance(style) ? `${anchor(style)} ` : "";
  if (Array.isArray(value))
    return `${mark}[${(value as readonly Value[]).map((one) => `${gap()}${flow(style, one, indent)}`).join(", ")}${gap()}]`;
  const entries = shuffled(style, Object.entries(value as Readonly<Record<string, Value>>));
  return `${mark}{${entries.map(([key, one]) => `${gap()}${word(style, key)}: ${flow(style, one, indent)}`).join(", ")}${gap()}}`;
}

function scalar(style: Style, value: string | number, indent: number, inFlow: boolean): string {
  if (typeof value === "number") return String(value);
  const { random } = style;
  const text = chance(style) ? pick(random, ["tagged", "block", "broken", "word", "word"]) : "word";
  const pad = " ".repeat(indent + 1);
  switch (text) {
    case "tagged":
      return `${pick(random, ["!!str", "!", anchor(style)])} ${word(style, value)}`;
    case "block":
      return inFlow
        ? word(style, value)
        : `${pick(random, ["|-", ">-", "|2-", ">-2"]).replace("2", String(2))}\n${" ".repeat(Math.max(indent, 2))}${value}`;
    case "broken": // a line break that is none
      return `"${value.slice(0, 2)}\\\n${pad}${value.slice(2)}"`;
    default:
      return word(style, value);
  }
}

/** On one line. */
function word(style: Style, value: string): string {
  const { random } = style;
  const safe = /^[A-Za-z0-9][A-Za-z0-9./-]*$/.test(value);
  if (safe && !chance(style)) return value;
  const at = Math.floor(random() * value.length);
  const code = value.charCodeAt(at).toString(16);
  const escaped = `${value.slice(0, at)}${pick(random, [`\\x${code.padStart(2, "0")}`, `\\u${code.padStart(4, "0")}`])}${value.slice(at + 1)}`;
  return pick(random, [`'${value.replaceAll("'", "''")}'`, JSON.stringify(value), `"${escaped}"`]);
}

function anchor(style: Style): string {
  style.anchors += 1;
  return `&a${String(style.anchors)}`;
}

function comment(style: Style): string {
  return chance(style) ? ` ${pick(style.random, COMMENTS)}` : "";
}

function shuffled<T>({ random }: Style, list: readonly T[]): readonly T[] {
  return random() < 0.5
    ? list
    : list
        .map((one) => [random(), one] as const)
        .sort(([a], [b]) => a - b)
        .map(([, one]) => one);
}

/** Documents as one file, with separators, line ends and marks of odd kinds. */
export function oddFile(random: Random, documents: readonly string[]): string {
  const plain = random() < 0.6;
  const separator = (): string =>
    plain ? "---\n" : pick(random, ["---\n", "--- # x\n", "---  \n", "---\t\n", "...\n---\n", "---\n# x\n---\n"]);
  const text = documents.map((one) => `${separator()}${one}`).join("");
  if (plain) return text;
  const marked = random() < 0.2 ? `\ufeff${text}` : random() < 0.1 ? `%YAML 1.2\n${text}` : text;
  return random() < 0.2 ? marked.replaceAll("\n", "\r\n") : marked;
}
