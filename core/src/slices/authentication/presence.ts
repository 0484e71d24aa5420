/** Credentials in a request, as the routes and Envoy's filters find them there. */
import type { Call } from "../../simulate/contract.ts";
import { cookie, decodedParameters, percentDecoded, rawParameters } from "../../simulate/parameters.ts";
import type { Place } from "./place.ts";

/** Good or bad: what chooses the route. */
export function isPresent({ headers, path }: Call, place: Place): boolean {
  switch (place.in) {
    case "header": {
      const text = headers.joined(place.name);
      if (text === undefined || place.prefix === "") return text !== undefined;
      const scheme = place.prefix.trimEnd();
      if (!text.toLowerCase().startsWith(scheme.toLowerCase())) return false;
      return scheme === place.prefix || /^(?:[\t\n\f\r ]|$)/.test(text.slice(scheme.length));
    }
    case "param":
      return rawParameters(path).some(([name]) => name === place.name);
    case "cookie":
      return cookie(headers, place.name) !== undefined;
  }
}

/** Whether a credential that is forwarded is there more than once. */
export function isSeveral({ headers, path }: Call, place: Place): boolean {
  const parts =
    place.in === "param"
      ? path
          .slice(path.indexOf("?") + 1)
          .split(/[&;]/)
          .map((pair) => percentDecoded(pair.split("=")[0] ?? ""))
      : (headers.joined("cookie") ?? "")
          .split(/[;,]/)
          .flatMap((pair) => (pair.includes("=") ? [(pair.split("=")[0] ?? "").trim()] : []));
  return parts.filter((name) => name === place.name).length > 1;
}

/** Every text that jwt_authn takes for a token of the place, in its order. */
export function tokensAt({ headers, path }: Call, place: Place): readonly string[] {
  switch (place.in) {
    case "header": {
      const { name, prefix } = place;
      const spellings = [...new Set([prefix, prefix.toLowerCase(), prefix.toUpperCase()])].sort();
      return spellings.flatMap((spelling) =>
        headers.all(name).flatMap((text) => {
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
