/** Random requests, most of them near what the worlds are about. */
import type { HeaderList } from "../../src/simulate/headers.ts";
import { KEYS, PASSWORDS } from "./credentials.ts";
import type { Random } from "./random.ts";

export interface Asked {
  readonly port: "plain" | "hosts" | "tls";
  /** The Host header as it is sent. */
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly headers: HeaderList;
  readonly from: string;
  /** Of a TLS connection: the name that is asked for, and the client's certificate by its name in credentials.ts. */
  readonly serverName?: string;
  readonly certificate?: string;
}

const HOSTS = [
  "a.test",
  "x.a.test",
  "y.x.a.test",
  "z.a.test",
  "x.b.test",
  "y.b.test",
  "q.y.b.test",
  "other.test",
  "localhost",
] as const;
const PATHS = [
  "/",
  "/orders",
  "/orders/",
  "/orders/7",
  "/orders/7/items",
  "/ordersX",
  "/x",
  "/Orders/7",
  "/o",
  "/orders/7/../8",
  "/orders//7",
  "/%6frders/7",
  "/orders/%2e%2e/x",
  "/orders/7;v=1",
  "/orders%2f7",
  "/orders/%3b",
  "/./orders",
  "/orders\\7",
  "//",
  "/orders/7/.",
  "/a%20b",
] as const;

const SOUND = ["/", "/orders", "/orders/7", "/orders/7/items", "/x"] as const;

export function request(random: Random, tokens: Readonly<Record<string, string>>): Asked {
  const host = random.pick(HOSTS);
  const { headers, query } = credentials(random, tokens);
  const queries = [
    ...query,
    ...(random.chance(0.25) ? [random.pick(["v=1", "v", "v=a&v=1", "%76=1", "v=1;v=2"])] : []),
  ];
  const path = `${random.chance(0.5) ? random.pick(SOUND) : random.pick(PATHS)}${queries.length === 0 ? "" : `?${queries.join("&")}`}`;
  const tls = random.chance(0.25);
  const shown = tls && random.chance(0.6) ? "secure.test" : host;
  return {
    port: tls ? "tls" : random.chance(0.65) ? "plain" : "hosts",
    host: tls
      ? random.pick([shown, shown, shown, shown.toUpperCase(), `${shown}.`, `${shown}:443`])
      : hostForm(random, host),
    ...(tls ? { serverName: shown } : {}),
    ...(tls && random.chance(0.7) ? { certificate: random.pick(["erp", "web", "old", "other"]) } : {}),
    method: random.pick(["GET", "GET", "GET", "GET", "GET", "POST", "POST", "HEAD", "DELETE"]),
    path,
    headers: [...headers, ...others(random)],
    from: random.pick(["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.9"]),
  };
}

function hostForm(random: Random, host: string): string {
  if (random.chance(0.85)) return host;
  return random.pick([
    host.toUpperCase(),
    `${host}.`,
    `${host}:8080`,
    `${host.slice(0, 1).toUpperCase()}${host.slice(1)}.:80`,
    `${host}..`,
    `u@${host}`,
    "*.a.test",
    `.${host}`,
  ]);
}

function credentials(
  random: Random,
  tokens: Readonly<Record<string, string>>,
): { readonly headers: HeaderList; readonly query: readonly string[] } {
  const headers: (readonly [string, string])[] = [];
  const cookies: string[] = [];
  const query: string[] = [];
  const token = (): string =>
    tokens[random.chance(0.5) ? random.pick(["good", "web", "partner", "admin"]) : random.pick(Object.keys(tokens))] ??
    "";
  const key = (): string => (random.chance(0.8) ? random.pick(KEYS) : random.pick(["", "wrong", "K-ERP"]));
  const kinds = [
    () =>
      headers.push([
        "authorization",
        `${random.chance(0.85) ? "Bearer " : random.pick(["bearer ", "BEARER ", "beaRer ", "Bearer", "Token ", "x Bearer "])}${token()}`,
      ]),
    () => headers.push(["x-token", token()]),
    () => headers.push([random.pick(["x-api-key", "X-Api-Key"]), random.chance(0.9) ? key() : `Bearer ${key()}`]),
    () => headers.push(["authorization", basic(random)]),
    () => cookies.push(`sid=${token()}`),
    () => cookies.push(random.chance(0.8) ? `key=${key()}` : ` key="${key()}"`),
    () => query.push(`access_token=${token()}`),
    () => query.push(random.chance(0.6) ? `key=${encodeURIComponent(key())}` : `key=${key().replaceAll("=", "%3D")}`),
    () => query.push(`k%65y=${key()}`),
  ];
  const count = random.pick([0, 1, 1, 1, 1, 2, 2, 3]);
  for (let at = 0; at < count; at += 1) random.pick(kinds)();
  if (cookies.length > 1 && random.chance(0.2)) headers.push(["cookie", cookies.pop() ?? ""]);
  if (cookies.length > 0) headers.push(["cookie", cookies.join(random.chance(0.9) ? "; " : ";")]);
  return { headers, query };
}

function basic(random: Random): string {
  const [name, password] = random.pick<readonly [string, string]>([
    ["erp", PASSWORDS.erp],
    ["web", PASSWORDS.web],
    ["erp", PASSWORDS.blog],
    ["erp", "wrong"],
    ["nobody", "x"],
  ]);
  const encoded = Buffer.from(`${name}:${password}`).toString("base64");
  return random.chance(0.85)
    ? `Basic ${encoded}`
    : random.pick([`basic ${encoded}`, "Basic !!", "Basic", `Basic ${encoded.replace(/=+$/, "")}`]);
}

function others(random: Random): HeaderList {
  const all: HeaderList = [
    ["x-plan", "free"],
    ["x-plan", "paid"],
    ["x-consumer", "erp"],
    ["x-user-id", "root"],
    ["x-gatewarden-consumer", "shop/erp"],
    ["x-gatewarden-auth", "basic"],
    ["x-envoy-original-path", "/x"],
    ["x-forwarded-for", "192.0.2.7"],
    ["x-forwarded-for", "10.0.0.1, 192.0.2.9, 127.0.0.2"],
    ["x-forwarded-for", "10.0.0.1, nonsense"],
  ];
  if (random.chance(0.02)) return [["x_plan", "free"]];
  return random.some(all, random.pick([0, 0, 1, 2]));
}
