/** What the proxy makes of a request line before it looks for a route (translate/hcm.ts); measured on Envoy 1.40. */

export type Normalised = { readonly ok: true; readonly path: string } | { readonly ok: false; readonly reason: string };

/** Methods that Envoy takes over HTTP/1.1. */
const METHODS = new Set(
  (
    "ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH NOTIFY OPTIONS " +
    "PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE"
  ).split(" "),
);

export function methodFault(method: string): string | undefined {
  return METHODS.has(method) ? undefined : `the proxy takes no method ${JSON.stringify(method.slice(0, 32))}`;
}

export function headerFault(headers: readonly (readonly [string, string])[]): string | undefined {
  const underscore = headers.find(([name]) => name.includes("_"));
  if (underscore !== undefined) return `header ${underscore[0]} has an underscore, which servers read differently`;
  const name = headers.find(([one]) => !/^[!#$%&'*+.^`|~0-9A-Za-z-]+$/.test(one));
  if (name !== undefined) return `header ${JSON.stringify(name[0].slice(0, 64))} is no header name`;
  const control = headers.find(([, value]) => /[\u0000-\u0008\u000a-\u001f\u007f]/.test(value));
  return control === undefined ? undefined : `header ${control[0]} holds control characters`;
}

/** Escaped slashes are refused, then dots are resolved and slashes merged. */
export function normalisePath(raw: string): Normalised {
  const refused = (reason: string): Normalised => ({ ok: false, reason });
  if (!raw.startsWith("/")) return refused("the path does not begin with /");
  if (/[^\u0021-\u007e]/.test(raw)) return refused("the path holds spaces, control or non-ASCII characters");
  if (raw.includes("#")) return refused("the path holds a #");
  const query = raw.indexOf("?");
  const path = query < 0 ? raw : raw.slice(0, query);
  if (/%2f|%5c/i.test(path)) return refused("the path holds an escaped slash, which servers read differently");
  if (/%00/.test(path)) return refused("the path holds %00");
  const segments = resolved(canonical(path).split("/").slice(1));
  return { ok: true, path: merged(`/${segments.join("/")}`) + (query < 0 ? "" : raw.slice(query)) };
}

/** Letters, digits and `-._~` stand for themselves, what no URL may hold is escaped, `\` is a slash. */
function canonical(path: string): string {
  return path
    .replace(/%([0-9a-f]{2})/gi, (escaped, digits: string) => {
      const character = String.fromCharCode(Number.parseInt(digits, 16));
      return /[A-Za-z0-9\-._~]/.test(character) ? character : escaped;
    })
    .replace(/["<>^`{|}]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("\\", "/");
}

function resolved(segments: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (const [at, segment] of segments.entries()) {
    const dots = segment === "." || segment === "..";
    if (segment === "..") kept.pop();
    if (!dots) kept.push(segment);
    else if (at === segments.length - 1) kept.push("");
  }
  return kept;
}

function merged(path: string): string {
  if (!path.includes("//")) return path;
  // A path of slashes alone keeps two: Envoy puts the first and the last one back on their own.
  return `/${path.split("/").filter(Boolean).join("/")}${path.endsWith("/") ? "/" : ""}`;
}

/** What the chain's guard refuses (translate/chain.ts). */
export function hasPathParameter(path: string): boolean {
  return /^[^?#]*(;|%3b)/i.test(path);
}
