/** Free TCP ports of this machine. */
import { createServer, type Server } from "node:net";

/** `count` different ports that are free on `address` now. Another process can still take one before it is used. */
export async function freePorts(count: number, address = "127.0.0.1"): Promise<readonly number[]> {
  // All are held until the last is found, or the same port would be handed out twice.
  const holders = await Promise.all(Array.from({ length: count }, () => listen(address)));
  const ports = holders.map((holder) => {
    const bound = holder.address();
    if (bound === null || typeof bound === "string") throw new Error("a TCP server without a port");
    return bound.port;
  });
  await Promise.all(holders.map((holder) => new Promise((resolve) => holder.close(resolve))));
  return ports;
}

function listen(address: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, address, () => resolve(server));
  });
}
