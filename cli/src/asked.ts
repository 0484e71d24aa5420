/** The request that `simulate` and `explain` ask about, from their arguments. */
import { isAddress } from "@gatewarden/core/simulate/address.ts";
import type { PresentedCertificate } from "@gatewarden/core/simulate/contract.ts";
import { type SimRequest, targetOf } from "@gatewarden/core/simulate/request.ts";
import { dateTimeMs } from "@gatewarden/core/schema/date-time.ts";
import type { Concern } from "./offline/concerning.ts";
import { SOURCE_OPTIONS, SOURCE_USAGE } from "./source.ts";

export const ASKED_OPTIONS = {
  ...SOURCE_OPTIONS,
  as: { type: "string" },
  header: { type: "string", multiple: true },
  from: { type: "string" },
  at: { type: "string" },
  san: { type: "string", multiple: true },
  gateway: { type: "string" },
  "require-policy": { type: "string", default: "true" },
  output: { type: "string", short: "o", default: "table" },
} as const;

export const ASKED_USAGE = `${SOURCE_USAGE}  --as consumer/NS/NAME the request carries a valid credential of that ApiConsumer, whichever the route takes
  --header 'NAME: VALUE'a header; may be repeated, order is kept
  --from IP             address of the caller (default: 192.0.2.1, an address of nobody)
  --at TIME             when, RFC 3339 (default: now): what expires or begins is judged by it
  --san TYPE:VALUE      a name in the client's certificate, which counts as verified: URI, DNS or Email; may be repeated
  --gateway NS/NAME     where several Gateways listen on the port
  --require-policy=BOOL whether the operator answers 403 where no policy is (default true)
  -o, --output FORMAT   table (default) or json
`;

/** TEST-NET-1 (RFC 5737). */
const NOBODY = "192.0.2.1";

export interface Flags {
  readonly as?: string | undefined;
  readonly header?: readonly string[] | undefined;
  readonly from?: string | undefined;
  readonly at?: string | undefined;
  readonly san?: readonly string[] | undefined;
  readonly gateway?: string | undefined;
  readonly output: string;
}

export type Asked =
  | { readonly ok: true; readonly request: SimRequest; readonly notes: readonly string[] }
  | { readonly ok: false; readonly message: string };

export function askedRequest(positionals: readonly string[], flags: Flags, nowMs: number): Asked {
  const wrong = (message: string): Asked => ({ ok: false, message });
  const [method, url, ...more] = positionals;
  if (method === undefined || url === undefined || more.length > 0) return wrong("expected METHOD URL");
  const target = targetOf(url);
  if (target === undefined) return wrong(`${url}: expected an absolute http or https URL`);
  const { as, from = NOBODY, at, gateway, output } = flags;
  const consumer = as === undefined ? undefined : /^consumer\/([^/]+\/[^/]+)$/.exec(as)?.[1];
  if (as !== undefined && consumer === undefined) return wrong(`--as ${as}: expected consumer/NAMESPACE/NAME`);
  const headers = headersOf(flags.header ?? []);
  if (typeof headers === "string") return wrong(`--header ${headers}: expected 'NAME: VALUE'`);
  if (!isAddress(from)) return wrong(`--from ${from}: expected an IP address`);
  const atMs = at === undefined ? nowMs : dateTimeMs(at);
  if (Number.isNaN(atMs)) return wrong(`--at ${at ?? ""}: expected a time such as 2026-12-01T09:00:00Z`);
  if (gateway !== undefined && !/^[^/]+\/[^/]+$/.test(gateway))
    return wrong(`--gateway ${gateway}: expected NAMESPACE/NAME`);
  if (output !== "table" && output !== "json") return wrong(`-o ${output}: expected table or json`);
  const certificate = certificateOf(flags.san ?? []);
  if (typeof certificate === "string") return wrong(`--san ${certificate}: expected URI:…, DNS:… or Email:…`);
  return {
    ok: true,
    request: {
      method,
      ...target,
      headers,
      from,
      atMs,
      ...(consumer === undefined ? {} : { as: consumer }),
      ...(gateway === undefined ? {} : { gateway }),
      ...(certificate === undefined ? {} : { certificate }),
    },
    notes: flags.from === undefined ? [`no --from: the call comes from ${NOBODY}`] : [],
  };
}

/** What of the manifests can make a difference to the answer. */
export function concernOf({ host, headers, path }: SimRequest): Concern {
  return { host, carriesKey: headers.length > 0 || path.includes("?") };
}

/** A text is what could not be read. */
function headersOf(lines: readonly string[]): SimRequest["headers"] | string {
  const headers: (readonly [string, string])[] = [];
  for (const line of lines) {
    const parts = /^([^:=\s]+)\s*[:=]\s*(.*)$/s.exec(line);
    if (parts === null) return line;
    headers.push([parts[1] ?? "", parts[2] ?? ""]);
  }
  return headers;
}

function certificateOf(names: readonly string[]): PresentedCertificate | string | undefined {
  if (names.length === 0) return undefined;
  const found: Record<"URI" | "DNS" | "Email", string[]> = { URI: [], DNS: [], Email: [] };
  for (const name of names) {
    const parts = /^(URI|DNS|Email):(.+)$/s.exec(name);
    if (parts === null) return name;
    found[parts[1] as keyof typeof found].push(parts[2] ?? "");
  }
  return { uris: found.URI, dns: found.DNS, emails: found.Email };
}
