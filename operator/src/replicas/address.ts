/** Where other replicas find this one: what it listens on, or the pod's first address where that is every address. */
import { networkInterfaces } from "node:os";

const EVERY: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

/** HOST:PORT; undefined where the machine has no address that others could reach. */
export function replicaAddress(host: string | undefined, port: number): string | undefined {
  const own = host === undefined || EVERY.has(host) ? firstAddress() : host;
  if (own === undefined) return undefined;
  return own.includes(":") ? `[${own}]:${port}` : `${own}:${port}`;
}

function firstAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const outside = all.filter(({ internal, scopeid }) => !internal && (scopeid ?? 0) === 0);
  return (outside.find(({ family }) => family === "IPv4") ?? outside[0])?.address;
}
