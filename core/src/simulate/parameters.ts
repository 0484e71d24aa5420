/** Query parameters and cookies as Envoy reads them. */
import type { CallHeaders } from "./contract.ts";

type Pairs = readonly (readonly [name: string, value: string])[];

/** Not decoded: as routes match them. */
export function rawParameters(path: string): Pairs {
  const at = path.indexOf("?");
  if (at < 0) return [];
  return path
    .slice(at + 1)
    .split("&")
    .map((pair) => {
      const equals = pair.indexOf("=");
      return equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
    });
}

/** As the credential filters read them. */
export function decodedParameters(path: string): Pairs {
  return rawParameters(path).map(([name, value]) => [percentDecoded(name), percentDecoded(value)]);
}

export function percentDecoded(text: string): string {
  const bytes = text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return bytes === text ? text : utf8(bytes);
}

function utf8(bytes: string): string {
  // What was not escaped may lie outside of Latin-1 already.
  return /^[\u0000-\u00ff]*$/.test(bytes) ? Buffer.from(bytes, "latin1").toString("utf8") : bytes;
}

/** The first cookie of that name. */
export function cookie(headers: CallHeaders, name: string): string | undefined {
  for (const line of headers.all("cookie")) {
    for (const part of line.split(";")) {
      const text = part.replace(/^[ \t]+/, "");
      const equals = text.indexOf("=");
      if (equals < 0 || text.slice(0, equals) !== name) continue;
      const value = text.slice(equals + 1);
      return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
    }
  }
  return undefined;
}
