/** Where a field of a manifest stands in its file, so that findings name a line that an editor can jump to. */
import type { Document, LineCounter } from "yaml";
import { isCollection, isNode } from "yaml";

/** Answers the line (from 1) of a field as {@link Problem.path} writes it; of the nearest field around it where it is not written. */
export type LineOf = (path: string) => number;

type Steps = readonly (string | number)[];

/** @param prefix where the object stands in its document: `items[3]` of a List */
export function lineOf(document: Document, lines: LineCounter, prefix: Steps = []): LineOf {
  return (path) => {
    const steps = [...prefix, ...stepsOf(path)];
    for (let length = steps.length; length >= 0; length -= 1) {
      const offset = offsetOf(document, steps.slice(0, length));
      if (offset !== undefined) return lines.linePos(offset).line;
    }
    return 1;
  };
}

/** `spec.a["b.c"][0]` → `spec`, `a`, `b.c`, 0. What cannot be read ends the path: a line nearby is better than none. */
export function stepsOf(path: string): Steps {
  const steps: (string | number)[] = [];
  for (const [, word, index, quoted] of path.matchAll(/([A-Za-z0-9_-]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/g)) {
    if (word !== undefined) steps.push(word);
    else if (index !== undefined) steps.push(Number(index));
    else if (quoted !== undefined) steps.push(JSON.parse(quoted) as string);
  }
  return steps;
}

/** Of a field its key, not its value, which may begin on the next line. */
function offsetOf(document: Document, steps: Steps): number | undefined {
  const last = steps.at(-1);
  if (last === undefined) return startOf(document.contents);
  const parent = steps.length === 1 ? document.contents : document.getIn(steps.slice(0, -1), true);
  if (!isCollection(parent)) return undefined;
  if (typeof last === "number") return startOf(parent.get(last, true));
  const pair = parent.items.find((item) => String(keyOf(item)) === last);
  return startOf((pair as { readonly key?: unknown } | undefined)?.key);
}

function keyOf(item: unknown): unknown {
  const key = (item as { readonly key?: unknown }).key;
  return isNode(key) && "value" in key ? key.value : key;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
