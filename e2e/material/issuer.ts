/** A token issuer's HTTPS server: discovery document and key set, with an ETag, and ways to fail. */
import { createHash } from "node:crypto";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type Authority, issue } from "../cluster/pki.ts";

export interface IssuerServer {
  /** `https://NAME:PORT`: what tokens carry as `iss`. */
  readonly issuer: string;
  readonly jwksUri: string;
  readonly address: string;
  readonly port: number;
  /** Paths that were asked for, oldest first. */
  readonly asked: () => readonly string[];
  /** The key set from now on. */
  readonly publish: (jwks: string) => void;
  /** From now on every answer is this status; undefined mends it. */
  readonly fail: (status: number | undefined) => void;
  readonly stop: () => Promise<void>;
}

export interface IssuerOptions {
  readonly authority: Authority;
  readonly address: string;
  readonly jwks: string;
  /** The host of the issuer's URL. Default: the address. */
  readonly host?: string;
}

/** Starts the server with a certificate of `authority`. */
export async function startIssuer(options: IssuerOptions): Promise<IssuerServer> {
  const { address, host = address } = options;
  const pair = issue(options.authority, {
    commonName: host,
    addresses: [address],
    dnsNames: [host],
    usages: ["server"],
  });
  const asked: string[] = [];
  let { jwks } = options;
  let failure: number | undefined;
  let issuer = "";
  const server = createServer({ cert: pair.certificate, key: pair.privateKey }, (request, response) => {
    const path = request.url ?? "";
    asked.push(path);
    const discovery = JSON.stringify({ issuer, jwks_uri: `${issuer}/keys` });
    const body = path === "/.well-known/openid-configuration" ? discovery : path === "/keys" ? jwks : undefined;
    if (failure !== undefined || body === undefined) {
      response.writeHead(failure ?? 404).end();
      return;
    }
    const tag = `"${createHash("sha256").update(body).digest("hex").slice(0, 16)}"`;
    const known = request.headers["if-none-match"] === tag;
    response.writeHead(known ? 304 : 200, { etag: tag, "content-type": "application/json" }).end(known ? "" : body);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, address, () => resolve());
  });
  const { port } = server.address() as AddressInfo;
  issuer = `https://${host}:${String(port)}`;
  return {
    issuer,
    jwksUri: `${issuer}/keys`,
    address,
    port,
    asked: () => asked,
    publish: (set) => {
      jwks = set;
    },
    fail: (status) => {
      failure = status;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
