/**
 * Where the API server is and who we are. Service-account files, certificates and tokens are read here; kubeconfigs that need more (exec,
 * OIDC, proxies) go through client-node, which is loaded only then: the import alone costs 85 MB of memory.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Clock } from "../clock.ts";
import type { TlsMaterial } from "./transport.ts";

export interface Credentials {
  readonly server: URL;
  readonly material: () => Promise<TlsMaterial>;
  /**
   * Headers that prove who we are. `fresh` reads a token file again even when it was just read (after a 401). An unreadable file keeps the
   * token that was read before; rejects only when there never was one.
   */
  readonly headers: (fresh: boolean) => Promise<Readonly<Record<string, string>>>;
}

/** A token file is read again after that long, as client-go does. */
const TOKEN_FILE_AGE_MS = 60_000;
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

interface NamedCluster {
  name: string;
  cluster?: {
    server?: string;
    "certificate-authority"?: string;
    "certificate-authority-data"?: string;
    "insecure-skip-tls-verify"?: boolean;
    "tls-server-name"?: string;
    "proxy-url"?: string;
  };
}

interface NamedUser {
  name: string;
  user?: {
    token?: string;
    tokenFile?: string;
    username?: string;
    password?: string;
    "client-certificate"?: string;
    "client-certificate-data"?: string;
    "client-key"?: string;
    "client-key-data"?: string;
    exec?: unknown;
    "auth-provider"?: unknown;
    as?: string;
  };
}

interface KubeConfigFile {
  clusters?: NamedCluster[];
  users?: NamedUser[];
  contexts?: { name: string; context?: { cluster?: string; user?: string } }[];
  "current-context"?: string;
}

/**
 * Credentials of a kubeconfig file, or of the pod that we run in where `file` is undefined.
 * @throws Error that says what is missing: a wrong start, not an input of users
 */
export async function loadCredentials(
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  clock: Clock,
): Promise<Credentials> {
  if (file === undefined) return inCluster(env, clock);
  const text = await readFile(file, "utf8");
  const config = (await parse(text)) as KubeConfigFile;
  const context = config.contexts?.find((entry) => entry.name === config["current-context"])?.context;
  const cluster = config.clusters?.find((entry) => entry.name === context?.cluster)?.cluster;
  const user = config.users?.find((entry) => entry.name === context?.user)?.user ?? {};
  if (cluster?.server === undefined) throw new Error(`${file}: the current context names no cluster with a server`);
  const needsLibrary =
    user.exec !== undefined ||
    user["auth-provider"] !== undefined ||
    user.as !== undefined ||
    cluster["proxy-url"] !== undefined;
  if (needsLibrary) return throughLibrary(file, new URL(cluster.server));
  const base = path.dirname(path.resolve(file));
  const authorization = authorizationOf(user, base, clock);
  return {
    server: new URL(cluster.server),
    material: async () => ({
      ...named("ca", await fileOrData(cluster["certificate-authority"], cluster["certificate-authority-data"], base)),
      ...named("cert", await fileOrData(user["client-certificate"], user["client-certificate-data"], base)),
      ...named("key", await fileOrData(user["client-key"], user["client-key-data"], base)),
      ...(cluster["tls-server-name"] === undefined ? {} : { servername: cluster["tls-server-name"] }),
      ...(cluster["insecure-skip-tls-verify"] === true ? { rejectUnauthorized: false } : {}),
    }),
    headers: authorization,
  };
}

/** JSON is YAML too, and reading it needs no YAML parser in memory. */
async function parse(text: string): Promise<unknown> {
  try {
    return JSON.parse(text);
  } catch {
    return (await import("yaml")).parse(text);
  }
}

function authorizationOf(user: NonNullable<NamedUser["user"]>, base: string, clock: Clock): Credentials["headers"] {
  const { token, tokenFile, username, password } = user;
  if (tokenFile !== undefined) return tokenFromFile(path.resolve(base, tokenFile), clock);
  if (token !== undefined) return () => Promise.resolve({ authorization: `Bearer ${token}` });
  if (username !== undefined) {
    const pair = Buffer.from(`${username}:${password ?? ""}`).toString("base64");
    return () => Promise.resolve({ authorization: `Basic ${pair}` });
  }
  return () => Promise.resolve({});
}

function inCluster(env: Readonly<Record<string, string | undefined>>, clock: Clock): Credentials {
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = env["KUBERNETES_SERVICE_PORT"];
  if (host === undefined || port === undefined)
    throw new Error("no --kubeconfig, and KUBERNETES_SERVICE_HOST says that this is no pod");
  return {
    server: new URL(`https://${host.includes(":") ? `[${host}]` : host}:${port}`),
    material: async () => ({ ca: await readFile(`${SERVICE_ACCOUNT}/ca.crt`) }),
    headers: tokenFromFile(`${SERVICE_ACCOUNT}/token`, clock),
  };
}

/** A bearer token from a file that somebody rotates. */
export function tokenFromFile(file: string, clock: Clock): Credentials["headers"] {
  let token: string | undefined;
  let readAt = 0;
  return async (fresh) => {
    if (fresh || token === undefined || clock.now() - readAt > TOKEN_FILE_AGE_MS) {
      try {
        const read = (await readFile(file, "utf8")).trim();
        if (read === "") throw new Error(`${file} is empty`);
        token = read;
        readAt = clock.now();
      } catch (error) {
        if (token === undefined) throw error;
      }
    }
    return { authorization: `Bearer ${token ?? ""}` };
  };
}

/** What client-node fills in. */
interface LibraryOptions {
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
  servername?: string;
  rejectUnauthorized?: boolean;
  headers?: Record<string, unknown>;
}

async function throughLibrary(file: string, server: URL): Promise<Credentials> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  config.loadFromFile(file);
  const proxy = config.getCurrentCluster()?.proxyUrl;
  if (proxy !== undefined) throw new Error(`${file}: proxy-url is not supported`);
  const read = async (): Promise<LibraryOptions> => {
    const options: LibraryOptions = {};
    await config.applyToHTTPSOptions(options);
    return options;
  };
  return {
    server,
    material: async () => {
      const { ca, cert, key, servername, rejectUnauthorized } = await read();
      return {
        ...named("ca", ca),
        ...named("cert", cert),
        ...named("key", key),
        ...(servername === undefined ? {} : { servername }),
        ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
      };
    },
    headers: async () => {
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries((await read()).headers ?? {}))
        headers[name.toLowerCase()] = String(value);
      return headers;
    },
  };
}

function named<Name extends string>(name: Name, value: Buffer | undefined): { [K in Name]?: Buffer } {
  return (value === undefined ? {} : { [name]: value }) as { [K in Name]?: Buffer };
}

async function fileOrData(
  file: string | undefined,
  data: string | undefined,
  base: string,
): Promise<Buffer | undefined> {
  if (data !== undefined) return Buffer.from(data, "base64");
  return file === undefined ? undefined : readFile(path.resolve(base, file));
}
