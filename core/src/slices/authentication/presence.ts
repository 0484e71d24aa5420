/** Credentials in a request, as the routes and Envoy's filters find them there. */
import type { Call } from "../../simulate/contract.ts";
import { cookie, decodedParameters, percentDecoded, rawParameters } from "../../simulate/parameters.ts";
import type { Place } from "./place.ts";

/** Good or bad: what chooses the route. */
export function isPresent({ headers, path }: Call, place: Place): boolean {
  switch (place.in) {
    case "header":
      return headers.all(place.name).some((text) => {
        const scheme = place.prefix.trimEnd();
        if (!text.toLowerCase().startsWith(scheme.toLowerCase())) return false;
        return scheme === place.prefix || /^(?:[\t\n\f\r ]|$)/.test(text.slice(scheme.length));
      });
    case "param":
      return rawParameters(path).some(([name]) => name === place.name);
    case "cookie":
      return cookie(headers, place.name) !== undefined;
  }
}

/** Whether a credential that is forwarded is there more than once. */
export function isSeveral({ headers, path }: Call, { in: kind, name }: Place): boolean {
  const twice = (names: readonly string[]): boolean => names.filter((one) => one === name).length > 1;
  const nameOf = (pair: string): string => pair.split("=")[0] ?? "";
  if (kind === "param")
    return twice(
      path
        .slice(path.indexOf("?") + 1)
        .split(/[&;]/)
        .map((pair) => percentDecoded(nameOf(pair))),
    );
  return headers
    .all("cookie")
    .some((line) => twice(line.split(/[;,]/).flatMap((pair) => (pair.includes("=") ? [nameOf(pair).trim()] : []))));
}

/** Every text that jwt_authn takes for a token of the place, in its order; `one`: of a header only the first line is left. */
export function tokensAt({ headers, path }: Call, place: Place, one: boolean): readonly string[] {
  switch (place.in) {
    case "header": {
      const { name, prefix } = place;
      const spellings = [...new Set([prefix, prefix.toLowerCase(), prefix.toUpperCase()])].sort();
      return spellings.flatMap((spelling) =>
        headers
          .all(name)
          .slice(0, one ? 1 : undefined)
          .flatMap((text) => {
            if (spelling === "") return [text];
            const at = text.indexOf(spelling);
            if (at < 0) return [];
            const rest = text.slice(at + spelling.length);
            const start = rest.search(/[A-Za-z0-9_.-]/);
            return [start < 0 ? text : rest.slice(start)];
          }),
      );
    }
    case "param":
      return decodedParameters(path)
        .flatMap(([name, value]) => (name === place.name ? [value] : []))
        .slice(0, 1);
    case "cookie":
      return [cookie(headers, place.name)].filter((value) => value !== undefined);
  }
}

/** Empty: there is none. */
export function keyAt({ headers, path }: Call, place: Place): string {
  switch (place.in) {
    case "header":
      return (headers.all(place.name)[0] ?? "").replace(/^Bearer /, "");
    case "param":
      return decodedParameters(path).find(([name]) => name === place.name)?.[1] ?? "";
    case "cookie":
      return cookie(headers, place.name) ?? "";
  }
}
