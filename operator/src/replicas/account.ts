/** The ServiceAccount that this operator runs as: its replicas know each other by it. */
import type { KubeClient } from "../kube/client.ts";
import { TOKEN_AUDIENCE } from "../token-review.ts";

export interface Account {
  /** As reviews of tokens say it; undefined while it is not known, or for who is no ServiceAccount. */
  readonly username: () => string | undefined;
  /** Asks the API server who this is, until it says so. False: no ServiceAccount, which has no tokens to show. */
  learn(signal: AbortSignal): Promise<boolean | "unknown">;
  /** A token for other replicas; undefined where there is none to be had now. */
  token(signal: AbortSignal): Promise<string | undefined>;
}

/** As long as a stream of a proxy at the least; a new one is asked for with each connection. */
const TOKEN_SECONDS = 3_600;

export function createAccount(client: KubeClient): Account {
  let username: string | undefined;
  let answered = false;
  const parts = (): RegExpExecArray | null => /^system:serviceaccount:([^:]+):([^:]+)$/.exec(username ?? "");
  return {
    username: () => (parts() === null ? undefined : username),
    async learn(signal) {
      if (!answered) {
        const body = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
        const result = await client.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", body, { signal });
        if (!result.ok) return "unknown";
        const status = result.value.status as { readonly userInfo?: { readonly username?: string } } | undefined;
        username = status?.userInfo?.username;
        answered = true;
      }
      return parts() !== null;
    },
    async token(signal) {
      const [, namespace, name] = parts() ?? [];
      if (namespace === undefined || name === undefined) return undefined;
      const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/serviceaccounts/${encodeURIComponent(name)}/token`;
      const body = {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        spec: { audiences: [TOKEN_AUDIENCE], expirationSeconds: TOKEN_SECONDS },
      };
      const result = await client.create(path, body, { signal });
      return result.ok ? (result.value.status as { readonly token?: string } | undefined)?.token : undefined;
    },
  };
}
