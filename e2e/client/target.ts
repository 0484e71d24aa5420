/** Where a client connects to, and how: TCP or TLS, with or without a client certificate. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export interface Target {
  readonly address: string;
  readonly port: number;
  /** The local address to come from; any 127.0.0.0/8 address will do for loopback targets. */
  readonly from?: string;
  readonly tls?: ClientTls;
}

export interface ClientTls {
  /** SNI, and the name that the server's certificate must carry. */
  readonly serverName: string;
  /** PEM; without it the server's certificate is not checked. */
  readonly authority?: string;
  readonly certificate?: string;
  readonly privateKey?: string;
  readonly minVersion?: "TLSv1.2" | "TLSv1.3";
  readonly maxVersion?: "TLSv1.2" | "TLSv1.3";
}

const CONNECT_LIMIT_MS = 10_000;

/** Connects; with TLS the handshake is done and `protocol` was offered by ALPN. Rejects with what the other side said. */
export async function dial(target: Target, protocol: "http/1.1" | "h2"): Promise<Socket> {
  const { address: host, port, from, tls } = target;
  const local = from === undefined ? {} : { localAddress: from };
  const socket =
    tls === undefined
      ? connectTcp({ host, port, ...local })
      : connectTls({
          // A TCP socket of our own, because tls.connect has no localAddress.
          socket: connectTcp({ host, port, ...local }),
          servername: tls.serverName,
          ALPNProtocols: [protocol],
          rejectUnauthorized: tls.authority !== undefined,
          ca: tls.authority,
          cert: tls.certificate,
          key: tls.privateKey,
          minVersion: tls.minVersion,
          maxVersion: tls.maxVersion,
        });
  socket.setNoDelay(true);
  await new Promise<void>((resolve, reject) => {
    const late = (): void => void socket.destroy(new Error(`no connection to ${host}:${String(port)} in time`));
    const timer = setTimeout(late, CONNECT_LIMIT_MS);
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
  return socket;
}
