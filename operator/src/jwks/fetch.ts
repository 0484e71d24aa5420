/**
 * One GET of a URL that a user wrote: https only, the dialled address checked, at most 1 MiB within 5 s, redirects within the same origin
 * only. Says what went wrong in one sentence without any of the answer's content.
 */
import { lookup as systemLookup } from "node:dns";
import https from "node:https";
import { isIP, type LookupFunction } from "node:net";
import tls from "node:tls";
import type { Clock } from "../clock.ts";
import { errorText } from "../log.ts";
import type { AddressGuard } from "./address-guard.ts";

export interface FetchRequest {
  readonly url: URL;
  readonly etag?: string;
  /** Dial this in place of the URL's host; Host and SNI stay the URL's. */
  readonly backend?: { readonly host: string; readonly port: number };
  /** Trust these certificates and no others. */
  readonly caPem?: string;
}

export type FetchResult =
  | { readonly type: "body"; readonly text: string; readonly etag: string | undefined }
  | { readonly type: "unchanged" }
  | { readonly type: "failed"; readonly message: string };

export interface FetcherOptions {
  readonly clock: Clock;
  readonly guard: AddressGuard;
  readonly backendGuard: AddressGuard;
  /** Trusted beside the system's roots. */
  readonly extraCaPem?: string;
  /** How names are resolved; for tests. */
  readonly lookup?: typeof systemLookup;
}

export type Fetch = (request: FetchRequest, signal: AbortSignal) => Promise<FetchResult>;

export const LARGEST_BODY_BYTES = 1024 * 1024;
export const DEADLINE_MS = 5_000;
const MOST_REDIRECTS = 3;

class Refused extends Error {}

export function createFetch(options: FetcherOptions): Fetch {
  const roots = options.extraCaPem === undefined ? undefined : [...tls.rootCertificates, options.extraCaPem];
  return async (request, signal) => {
    const deadline = new AbortController();
    const cancel = options.clock.after(DEADLINE_MS, () => deadline.abort(new Error("no complete answer within 5 s")));
    const abort = (): void => deadline.abort(signal.reason);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    try {
      let url = request.url;
      for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects += 1) {
        const answer = await getOnce({ ...request, url }, options, roots, deadline.signal);
        if (answer.type !== "redirect") return answer;
        const next = URL.parse(answer.location, url.href);
        if (next === null || next.origin !== url.origin) return failed("it redirects to another host");
        url = next;
      }
      return failed("too many redirects");
    } catch (error) {
      return failed(deadline.signal.aborted ? errorText(deadline.signal.reason) : whyNot(error));
    } finally {
      cancel();
      signal.removeEventListener("abort", abort);
    }
  };
}

/** OpenSSL's names for a chain that ends at no CA that we know. */
const UNKNOWN_CA: ReadonlySet<unknown> = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
]);

/** Node's own mend for a CA that it does not know is for whoever starts Node. */
function whyNot(error: unknown): string {
  const { code } = error as { readonly code?: unknown };
  return UNKNOWN_CA.has(code)
    ? `its certificate is of a CA that is not trusted here, ${String(code)}: name the CA in jwks.caRefs`
    : errorText(error);
}

function failed(message: string): FetchResult {
  return { type: "failed", message };
}

function getOnce(
  request: FetchRequest,
  options: FetcherOptions,
  roots: string[] | undefined,
  signal: AbortSignal,
): Promise<FetchResult | { readonly type: "redirect"; readonly location: string }> {
  const { url, backend, caPem } = request;
  if (url.protocol !== "https:") return Promise.resolve(failed("only https is fetched"));
  if (url.username !== "" || url.password !== "") return Promise.resolve(failed("the URL carries a password"));
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const guard = backend === undefined ? options.guard : options.backendGuard;
  const dialled = backend?.host ?? host;
  // Node dials a literal address without asking `lookup`.
  const refusal = isIP(dialled) === 0 ? undefined : guard.refusal(dialled);
  if (refusal !== undefined) return Promise.resolve(failed(refusal));
  return new Promise((resolve, reject) => {
    const call = https.request({
      host: dialled,
      port: backend?.port ?? (url.port === "" ? 443 : Number(url.port)),
      path: `${url.pathname}${url.search}`,
      method: "GET",
      agent: false, // each attempt resolves, checks and connects anew
      lookup: guardedLookup(guard, options.lookup ?? systemLookup),
      signal,
      headers: {
        host: url.host,
        accept: "application/jwk-set+json, application/json",
        "accept-encoding": "identity",
        "user-agent": "gatewarden",
        ...(request.etag === undefined ? {} : { "if-none-match": request.etag }),
      },
      ...(isIP(host) === 0 ? { servername: host } : {}),
      // The certificate must name the URL's host, whatever was dialled.
      checkServerIdentity: (_dialled, certificate) => tls.checkServerIdentity(host, certificate),
      ...(caPem !== undefined ? { ca: caPem } : roots === undefined ? {} : { ca: roots }),
    });
    call.on("error", reject);
    call.on("response", (response) => {
      const status = response.statusCode ?? 0;
      response.on("error", reject);
      if (status !== 200) {
        response.destroy();
        const location = response.headers.location;
        if (status === 304 && request.etag !== undefined) resolve({ type: "unchanged" });
        else if ([301, 302, 303, 307, 308].includes(status) && location !== undefined)
          resolve({ type: "redirect", location });
        else resolve(failed(`it answered ${status}`));
        return;
      }
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size <= LARGEST_BODY_BYTES) chunks.push(chunk);
        else response.destroy(new Error("the answer is larger than 1 MiB"));
      });
      response.on("end", () =>
        resolve({ type: "body", text: Buffer.concat(chunks).toString("utf8"), etag: response.headers.etag }),
      );
      response.on("close", () => reject(new Error("the connection ended within the answer"))); // nothing after "end"
    });
    call.end();
  });
}

/** Resolves, and hands on only addresses that may be dialled: what is checked is what is connected to. */
function guardedLookup(guard: AddressGuard, lookup: typeof systemLookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, "", 0);
        return;
      }
      const allowed = addresses.filter(({ address }) => guard.refusal(address) === undefined);
      const [first] = allowed;
      if (first === undefined) {
        const why = addresses[0] === undefined ? "it has no address" : guard.refusal(addresses[0].address);
        callback(new Refused(`${hostname}: ${why ?? "refused"}`), "", 0);
      } else if (options.all === true) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}
