/** How large a regular expression becomes in Envoy's CEL, whose programs have a fixed bound. */
import { regexFault } from "../envoy/re2.ts";

/** Envoy's bound on RE2 programs of CEL's `matches`; nobody can raise it. */
const MAX_PROGRAM = 100;
/** What every program has: the beginning, the end, looking for the match everywhere. */
const FRAME = 8;
const ANY = 12; // any character but some, in UTF-8
const NAMED = 6; // \w, \s
const FOLDED = 6; // k and s have relatives beyond ASCII

/** Why Envoy would refuse it in `matches`. Estimated from above: what passes here is accepted. */
export function celRegexFault(pattern: string): string | undefined {
  const fault = regexFault(pattern);
  if (fault !== undefined) return fault;
  if (/[^\x20-\x7e]/.test(pattern)) return "has characters that are not ASCII";
  if (/\\[pPQCx0-7]/.test(pattern)) return "has a class or an escape that becomes too large";
  return sizeOf(pattern) + FRAME > MAX_PROGRAM ? "is too large: Envoy takes about 90 characters" : undefined;
}

const TOKEN = /\[(?:\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\]\\])*)\]|\\.|\(\?[^):<>]*[:)>]?|[()]|\{\d+(?:,\d*)?\}|[\s\S]/g;

/** Upper bound of the number of instructions. */
function sizeOf(pattern: string): number {
  const letter = /\(\?[a-zA-Z]*i/.test(pattern) ? FOLDED : 1;
  const open: number[] = [];
  let sizes: number[] = [];
  const stack: number[][] = [];
  const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
  for (const [token] of pattern.matchAll(TOKEN)) {
    const repeat = /^\{(\d+)(?:,(\d*))?\}$/.exec(token);
    if (repeat !== null) {
      const times = Math.max(1, Number(repeat[1]), Number(repeat[2] ?? 0)) + 1;
      sizes.push((sizes.pop() ?? 0) * times + times);
    } else if (token.startsWith("(")) {
      stack.push(sizes);
      open.push(1);
      sizes = [];
      if (/^\(\?[a-zA-Z-]*\)$/.test(token)) sizes = stack.pop() ?? [];
    } else if (token === ")") {
      const group = sum(sizes) + 2;
      sizes = stack.pop() ?? [];
      sizes.push(group);
    } else if (/^[*+?|]$/.test(token)) {
      sizes.push((sizes.pop() ?? 0) + 2);
    } else {
      sizes.push(oneSize(token, letter));
    }
  }
  return sum([...stack.flat(), ...sizes]);
}

function oneSize(token: string, letter: number): number {
  if (token === ".") return ANY;
  if (token.startsWith("\\")) return /^\\[DSW]$/.test(token) ? ANY : /^\\[ws]$/.test(token) ? NAMED : letter;
  if (!token.startsWith("[")) return letter;
  if (token.startsWith("[^") || /\\[DSW]|\[:\^/.test(token)) return ANY + token.length;
  return NAMED * Math.max(1, (token.match(/\\[ws]|\[:/g) ?? []).length) + token.length * letter;
}
