/** Headers of a request as Envoy's filters read them. */
import type { CallHeaders } from "./contract.ts";

export type HeaderList = readonly (readonly [name: string, value: string])[];

/** Headers of which Envoy keeps one line: copies are joined as they come in. */
const ONE_LINE = new Set([
  "authorization",
  "content-type",
  "expect",
  "te",
  "user-agent",
  "via",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-request-id",
]);

export function headersOf(list: HeaderList): CallHeaders {
  const values = Map.groupBy(list, ([name]) => name.toLowerCase());
  const all = (name: string): readonly string[] => {
    const lines = values.get(name.toLowerCase())?.map(([, value]) => value) ?? [];
    return lines.length > 1 && ONE_LINE.has(name.toLowerCase()) ? [lines.join(",")] : lines;
  };
  return {
    all,
    joined: (name) => (values.has(name.toLowerCase()) ? all(name).join(",") : undefined),
    names: () => [...values.keys()],
  };
}

/** The same headers with some set to one value; undefined: gone. */
export function withHeaders(headers: CallHeaders, edits: Readonly<Record<string, string | undefined>>): CallHeaders {
  const edited = new Map(Object.entries(edits).map(([name, value]) => [name.toLowerCase(), value]));
  const kept = headers.names().filter((name) => !edited.has(name));
  return headersOf([
    ...kept.flatMap((name) => headers.all(name).map((value) => [name, value] as const)),
    ...[...edited].flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
  ]);
}
