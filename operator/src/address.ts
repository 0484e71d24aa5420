/** HOST:PORT as flags write it. */

export interface Address {
  /** undefined: every address of the machine. */
  readonly host: string | undefined;
  readonly port: number;
}

/** Reads `1.2.3.4:80`, `[::1]:80`, `name:80` or `:80`; undefined where it is none of them. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^[\]:\s]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[3]);
  if (port > 65_535) return undefined;
  const host = match[1] ?? match[2] ?? "";
  return { host: host === "" ? undefined : host, port };
}

/** As gRPC servers bind it; every address, of both families, where there is no host. */
export function addressText({ host, port }: Address): string {
  if (host === undefined) return `[::]:${port}`;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
