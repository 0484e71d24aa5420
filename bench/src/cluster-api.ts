/** The API server over held connections, with nothing between: what stands between would be measured too. */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { parse } from "yaml";
import type { Manifest } from "./population.ts";

export interface ClusterApi {
  /** Resolves with the object as the server stored it; rejects with what it said. */
  readonly create: (object: Manifest) => Promise<Manifest>;
  /** Replaces `spec` (and whatever else the patch names) by JSON merge patch. */
  readonly merge: (object: Manifest) => Promise<Manifest>;
  readonly remove: (object: Manifest) => Promise<void>;
  /** All objects of a kind, page by page. */
  readonly list: (kind: string) => Promise<readonly Manifest[]>;
  /** Creates many, a few at a time. */
  readonly createAll: (objects: readonly Manifest[]) => Promise<void>;
  readonly close: () => void;
}

interface Kubeconfig {
  readonly clusters: readonly [{ readonly cluster: Readonly<Record<string, string>> }];
  readonly users: readonly [{ readonly user: Readonly<Record<string, string>> }];
}

const PLURALS: Readonly<Record<string, string>> = { ApiPolicy: "apipolicies" };
const API_VERSIONS: Readonly<Record<string, string>> = {
  ApiPolicy: "gatewarden.io/v1alpha1",
  HTTPRoute: "gateway.networking.k8s.io/v1",
};
const SOCKETS = 8;
const PAGE = 500;

/** For a kubeconfig with a client certificate or a token in it, as the local cluster has it. */
export function clusterApi(kubeconfig: string): ClusterApi {
  const config = parse(readFileSync(kubeconfig, "utf8")) as Kubeconfig;
  const { cluster } = config.clusters[0];
  const { user } = config.users[0];
  const decoded = (text: string | undefined): string | undefined =>
    text === undefined ? undefined : Buffer.from(text, "base64").toString();
  const agent = new Agent({
    keepAlive: true,
    maxSockets: SOCKETS,
    ca: decoded(cluster["certificate-authority-data"]),
    cert: decoded(user["client-certificate-data"]),
    key: decoded(user["client-key-data"]),
  });
  const authorization = user["token"] === undefined ? {} : { authorization: `Bearer ${user["token"]}` };
  const server = cluster["server"] ?? "";

  const call = (method: string, path: string, body?: unknown, contentType = "application/json"): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const headers = body === undefined ? authorization : { ...authorization, "content-type": contentType };
      const asked = request(`${server}${path}`, { agent, method, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          if ((response.statusCode ?? 0) < 300) resolve(JSON.parse(text));
          else reject(new Error(`${method} ${path}: ${String(response.statusCode)} ${text.slice(0, 300)}`));
        });
      });
      asked.once("error", reject);
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });

  const create: ClusterApi["create"] = async (object) => (await call("POST", collectionOf(object), object)) as Manifest;
  return {
    create,
    merge: async (object) => (await call("PATCH", pathOf(object), object, "application/merge-patch+json")) as Manifest,
    remove: async (object) => void (await call("DELETE", pathOf(object))),
    list: async (kind) => {
      const all: Manifest[] = [];
      let next = "";
      do {
        const path = `${rootOf(API_VERSIONS[kind] ?? "v1")}/${pluralOf(kind)}?limit=${String(PAGE)}${next}`;
        const page = (await call("GET", path)) as {
          readonly items: readonly Manifest[];
          readonly metadata: { readonly continue?: string };
        };
        all.push(...page.items);
        const token = page.metadata.continue ?? "";
        next = token === "" ? "" : `&continue=${encodeURIComponent(token)}`;
      } while (next !== "");
      return all;
    },
    createAll: async (objects) => {
      const rest = objects.values();
      const worker = async (): Promise<void> => {
        for (const object of rest) await create(object);
      };
      await Promise.all(Array.from({ length: SOCKETS }, worker));
    },
    close: () => agent.destroy(),
  };
}

const rootOf = (apiVersion: string): string =>
  apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
const pluralOf = (kind: string): string => PLURALS[kind] ?? `${kind.toLowerCase()}s`;

function collectionOf({ apiVersion, kind, metadata: { namespace } }: Manifest): string {
  const inside = namespace === undefined ? "" : `/namespaces/${namespace}`;
  return `${rootOf(apiVersion)}${inside}/${pluralOf(kind)}`;
}

function pathOf(object: Manifest): string {
  return `${collectionOf(object)}/${object.metadata.name}`;
}
