/** An upstream that costs as little as one can in this language: the same bytes for every request. */
import { type AddressInfo, createServer, type Socket } from "node:net";

export interface Upstream {
  readonly address: string;
  readonly port: number;
  readonly stop: () => Promise<void>;
}

const ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

export async function startUpstream(address: string): Promise<Upstream> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true).setEncoding("latin1");
    let pending = "";
    socket.on("data", (chunk: string) => {
      const parts = (pending + chunk).split("\r\n\r\n");
      pending = parts.pop() ?? "";
      if (parts.length > 0) socket.write(ANSWER.repeat(parts.length));
    });
    socket.on("error", () => socket.destroy()).once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return {
    address,
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
