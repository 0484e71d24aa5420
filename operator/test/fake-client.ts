/** The edge to the API server for unit tests: answers from a function, and remembers what was asked. */
import type { KubeObject } from "@gatewarden/core/world.ts";
import type { ApiResult, KubeClient } from "../src/kube/client.ts";

export interface Asked {
  readonly verb: "get" | "create" | "replace" | "apply" | "remove";
  readonly path: string;
  readonly body: KubeObject | undefined;
}

export interface FakeClient {
  readonly client: KubeClient;
  readonly asked: Asked[];
}

export function failure(status: number, reason = "Failed"): ApiResult<never> {
  return { ok: false, failure: { status, reason, message: reason } };
}

/** Verbs that no test asks for throw. */
export function createFakeClient(answer: (asked: Asked) => ApiResult<KubeObject>): FakeClient {
  const asked: Asked[] = [];
  const call =
    (verb: Asked["verb"]) =>
    (path: string, body?: object): Promise<ApiResult<KubeObject>> => {
      const one: Asked = { verb, path, body: body as KubeObject | undefined };
      asked.push(one);
      return Promise.resolve(answer(one));
    };
  const unexpected = (): never => {
    throw new Error("not expected by this test");
  };
  const get = call("get");
  const remove = call("remove");
  const client: KubeClient = {
    get: (path) => get(path),
    create: call("create"),
    replace: call("replace"),
    apply: call("apply"),
    remove: (path) => remove(path),
    list: unexpected,
    watch: unexpected,
    merge: unexpected,
    close: () => undefined,
  };
  return { client, asked };
}
