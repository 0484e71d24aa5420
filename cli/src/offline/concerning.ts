/**
 * Which documents can have to do with calls to one host, told from their text: reading thousands of manifests as YAML takes most of the time of a
 * question about one of them. A document is left out only where its text proves that it makes no difference: a route of other hosts alone, or a
 * policy of such routes. What is written in an unusual way is read.
 */
import { quote } from "@gatewarden/core/envoy/pattern.ts";

export interface Concern {
  /** Host of the call. */
  readonly host: string;
  /** Whether the call may carry a key: then consumers of all namespaces count, and with them the routes by which they may call. */
  readonly carriesKey: boolean;
}

/** One document of a file. */
export interface Text {
  readonly text: string;
  readonly file: string;
  /** Line of the file in which it begins, from 1. */
  readonly line: number;
  /** A file that could not be divided. */
  readonly whole?: true;
}

/** Documents of a file; one where it is not divided by plain `---` lines. */
export function divided(file: string, content: string): readonly Text[] {
  const whole: Text = { text: content, file, line: 1, whole: true };
  // Directives and document ends change what a `---` means.
  if (/^(%|\.\.\.)/m.test(content) || content.includes("\r")) return [whole];
  const texts: Text[] = [];
  let from = 0;
  let line = 1;
  for (const { index, 0: marker } of content.matchAll(/^---[ \t]*\n/gm)) {
    const text = content.slice(from, index);
    texts.push({ text, file, line });
    line += linesIn(text) + 1;
    from = index + marker.length;
  }
  // A marker with something behind it is a document's first line.
  if (/^---(?![ \t]*\n)/m.test(content)) return [whole];
  texts.push({ text: content.slice(from), file, line });
  return texts.filter(({ text }) => text.trim() !== "");
}

function linesIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}

/**
 * Those that have to be read. `namesOf`: names of the HTTPRoutes in a document, of which the ones that stay have to be asked.
 */
export function concerning(
  texts: readonly Text[],
  { host, carriesKey }: Concern,
  namesOf: (text: Text) => readonly string[],
): readonly Text[] {
  if (carriesKey && new Set(texts.flatMap(namespacesIn)).size > 1) return texts;
  const asked = host.toLowerCase().replace(/\.$/, "");
  const byKind = Map.groupBy(texts, ({ text, whole }) => (whole === true ? undefined : kindOf(text)));
  const left = new Set(byKind.get("HTTPRoute")?.filter(({ text }) => isRouteOfOthers(text, asked)));
  const policies = byKind.get("ApiPolicy") ?? [];
  const known = new Set(policies);
  const near = [...new Set(texts.filter((one) => !left.has(one) && !known.has(one)).flatMap(namesOf))];
  const named = anyOf(near);
  for (const one of policies) if (isPolicyOfOthers(one.text, named)) left.add(one);
  return texts.filter((one) => !left.has(one));
}

/** Namespaces that it names; where it names none it may be in the default one. */
function namespacesIn({ text }: Text): readonly string[] {
  const named = [...text.matchAll(/\bnamespace["']?[ \t]*:[ \t]*["']?([^\s"',}]+)/g)].map(([, name = ""]) => name);
  return named.length === 0 ? ["default"] : named;
}

/** The kind that stands at the top of it, in block style; undefined: none, or several. */
function kindOf(text: string): string | undefined {
  const [found, ...others] = text.matchAll(/^kind:[ ]*(\w+)[ ]*$/gm);
  return others.length === 0 ? found?.[1] : undefined;
}

/**
 * Whether its text can be trusted to mean what a look at its lines finds: no anchors, tags, escapes, explicit keys or block scalars, and every
 * quoted text on one line.
 */
function isPlain(text: string): boolean {
  if (/[&\\!\t]|^[ ]*\?[ ]|[|>][0-9+-]*[ ]*(#.*)?$/m.test(text)) return false;
  if (!text.includes('"') && !text.includes("'")) return true;
  return text.split("\n").every((line) => line.split('"').length % 2 === 1 && line.split("'").length % 2 === 1);
}

/** At least one entry of `hostnames`, on a line of its own or between brackets: without any a route serves every host. */
const HOSTNAMES = /^[^"'#\n]*\bhostnames:[ ]*(\[[ ]*|\n[ ]*-[ ]+)["']?[A-Za-z0-9]/m;

function isRouteOfOthers(text: string, host: string): boolean {
  return !text.includes("*") && !text.toLowerCase().includes(host) && HOSTNAMES.test(text) && isPlain(text);
}

/** Headers that only we may set are set for all routes of a namespace: a policy that names one matters to others. */
const NAMES_HEADERS = /claimsToHeaders|consumerHeader/;

/** One of the names as a whole word, whatever it means there. */
function anyOf(names: readonly string[]): RegExp {
  const words = names.map(quote);
  return words.length === 0 ? /(?!)/ : new RegExp(`(?<![A-Za-z0-9.-])(${words.join("|")})(?![A-Za-z0-9.-])`);
}

/** @param near finds the names of routes that stay */
function isPolicyOfOthers(text: string, near: RegExp): boolean {
  if (NAMES_HEADERS.test(text) || near.test(text)) return false;
  const kinds = [...text.matchAll(/\bkind["']?:[ ]*["']?(\w+)/g)].map(([, kind]) => kind);
  return kinds.length > 1 && kinds.every((kind) => kind === "HTTPRoute" || kind === "ApiPolicy") && isPlain(text);
}
