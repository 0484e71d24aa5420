/** A request that is asked about, as a client would send it. */
import type { PresentedCertificate } from "./contract.ts";

export interface SimRequest {
  readonly method: string;
  readonly scheme: "http" | "https";
  /** As in the Host header, without a port. */
  readonly host: string;
  /** The port that is connected to; absent: the scheme's own, or where none listens there, any of that scheme. */
  readonly port?: number;
  /** As on the request line, query included. */
  readonly path: string;
  /** In order, repeats included, names in any case; without Host. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Address of the TCP peer. */
  readonly from: string;
  readonly certificate?: PresentedCertificate;
  /** `namespace/name` of a consumer: the request is to carry a valid credential of it. */
  readonly as?: string;
  /** `namespace/name`, where several Gateways listen there. */
  readonly gateway?: string;
  readonly atMs: number;
}

export type Target = Pick<SimRequest, "scheme" | "host" | "port" | "path">;

/**
 * Takes a URL apart without changing its path: what a path is read as is what is asked.
 * @returns undefined where it is no absolute http or https URL
 */
export function targetOf(url: string): Target | undefined {
  const parts = /^(https?):\/\/(\[[^\]/?#]*\]|[^/?#:@]*)(?::(\d{1,5}))?([/?][^#]*)?(?:#.*)?$/is.exec(url);
  if (parts === null) return undefined;
  const [, scheme = "", host = "", port, rest = "/"] = parts;
  if (host === "" || (port !== undefined && Number(port) > 65_535)) return undefined;
  return {
    scheme: scheme.toLowerCase() === "https" ? "https" : "http",
    host,
    ...(port === undefined ? {} : { port: Number(port) }),
    path: rest.startsWith("/") ? rest : `/${rest}`,
  };
}
