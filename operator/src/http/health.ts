/** /healthz, /readyz and /metrics: exact paths, GET and HEAD only, nothing else is answered (rules A1, A16). */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Address } from "../address.ts";

export interface HealthServer {
  readonly port: number;
  stop(): Promise<void>;
}

export interface HealthOptions {
  /** undefined = ready; else what is waited for. */
  readonly waitingFor: () => string | undefined;
  readonly metrics: () => string;
}

/** Resolves when it listens; rejects when the address cannot be had. */
export async function startHealthServer(address: Address, options: HealthOptions): Promise<HealthServer> {
  const server = createServer(
    { maxHeaderSize: 8_192, requestTimeout: 5_000, headersTimeout: 5_000 },
    (request, response) => {
      const send = (status: number, type: string, body: string): void => {
        response.writeHead(status, {
          "content-type": type,
          "content-length": Buffer.byteLength(body),
          "cache-control": "no-store",
          "x-content-type-options": "nosniff",
        });
        response.end(request.method === "HEAD" ? undefined : body);
      };
      request.resume();
      if (request.method !== "GET" && request.method !== "HEAD") {
        send(405, "text/plain", "only GET\n");
        return;
      }
      switch (request.url) {
        case "/healthz":
          send(200, "text/plain", "ok\n");
          return;
        case "/readyz": {
          const waitingFor = options.waitingFor();
          if (waitingFor === undefined) send(200, "text/plain", "ok\n");
          else send(503, "text/plain", `waiting for ${waitingFor}\n`);
          return;
        }
        case "/metrics":
          send(200, "text/plain; version=0.0.4; charset=utf-8", options.metrics());
          return;
        default:
          send(404, "text/plain", "not found\n");
      }
    },
  );
  server.maxConnections = 128;
  await listen(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const ready = (): void => {
      server.off("error", reject);
      resolve();
    };
    if (host === undefined) server.listen(port, ready);
    else server.listen(port, host, ready);
  });
}
