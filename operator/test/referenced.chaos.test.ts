/** Secrets whose right to be read is withdrawn while their watches run, and questions that nobody answers. */
import { afterEach, beforeEach, expect, it } from "@jest/globals";
import type { Change, ObjectKey } from "@gatewarden/core/world.ts";
import { type Clock, systemClock } from "../src/clock.ts";
import { createKubeClient, type KubeClient } from "../src/kube/client.ts";
import { createReferenced, type Referenced } from "../src/kube/referenced.ts";
import { silentLog } from "../src/log.ts";
import { type FakeApiServer, startFakeApiServer } from "./fake-api-server.ts";
import { until } from "./wait.ts";

const SECRETS = "/api/v1/secrets";
const REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const keys: readonly ObjectKey[] = ["a", "b"].flatMap((namespace) =>
  ["one", "two"].map((name) => ({ kind: "Secret", namespace, name })),
);
/** Time goes a hundred times as fast: rounds are seconds apart. */
const fast: Clock = { ...systemClock, after: (delayMs, task) => systemClock.after(delayMs / 100, task) };

let server: FakeApiServer;
let client: KubeClient;
let referenced: Referenced;
let last: Map<string, Change>;
let denied: string | undefined; // namespace
let review: number; // how a question is answered: 201, or a failure
let starting: boolean; // everything is refused

beforeEach(async () => {
  server = await startFakeApiServer();
  last = new Map();
  denied = undefined;
  review = 201;
  starting = false;
  for (const { namespace, name } of keys) server.put(SECRETS, { metadata: { namespace, name }, data: { key: "a" } });
  server.setFault(({ watch, path, request, response }) => {
    const answer = (status: number, body: object): true => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
      return true;
    };
    if (starting) return answer(403, { reason: "Forbidden" });
    if (path !== REVIEWS)
      return !watch && path === `/api/v1/namespaces/${denied}/secrets` && answer(403, { reason: "Forbidden" });
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { spec } = JSON.parse(Buffer.concat(chunks).toString()) as {
        readonly spec: { readonly resourceAttributes: Readonly<Record<string, string>> };
      };
      const { namespace, verb, resource } = spec.resourceAttributes;
      answer(review, { status: { allowed: namespace !== denied || `${verb} ${resource}` !== "watch secrets" } });
    });
    return true;
  });
  client = createKubeClient(
    { server: server.url, material: () => Promise.resolve({}), headers: () => Promise.resolve({}) },
    systemClock,
  );
  referenced = createReferenced({
    client,
    clock: fast,
    log: silentLog,
    onChange: (change) => last.set(`${change.key.namespace}/${change.key.name}`, change),
  });
  referenced.update(keys, []);
  await until(() => server.watchers() === keys.length && last.size === keys.length, "the watches");
});
afterEach(async () => {
  await referenced.stop();
  client.close();
  await server.close();
});

const state = (): readonly string[] =>
  [...last]
    .sort()
    .map(([id, { object, denied: off }]) => `${id} ${off === true ? "denied" : String(object !== undefined)}`);
const questions = (): number => server.requests.filter(({ path }) => path === REVIEWS).length;
const lists = (): number => server.requests.filter(({ path, watch }) => path.endsWith("/secrets") && !watch).length;

it("are given up in every one of the namespace's watches and in no other, and come back", async () => {
  denied = "b";
  await until(
    () => state().join() === "a/one true,a/two true,b/one denied,b/two denied",
    () => state().join(),
  );
  await until(() => server.watchers() === 2, "the other namespace's watches");
  denied = undefined;
  await until(
    () => state().join() === "a/one true,a/two true,b/one true,b/two true",
    () => state().join(),
  );
  await until(() => server.watchers() === 4, "the watches");
});

it.each([403, 500])("are kept where a question is answered with %s: nothing is known then", async (status) => {
  review = status;
  denied = "b";
  const before = [questions(), lists()] as const;
  await until(() => questions() > before[0] + 4, "questions");
  expect(state()).toEqual(["a/one true", "a/two true", "b/one true", "b/two true"]);
  expect(lists()).toBe(before[1]);
});

it("are kept while an API server starts that refuses everything, the question too", async () => {
  const before = lists();
  starting = true;
  server.endWatches("reset");
  await until(() => lists() >= before + keys.length, "lists that are refused");
  expect(state()).toEqual(["a/one true", "a/two true", "b/one true", "b/two true"]);
  starting = false;
  await until(() => server.watchers() === keys.length, "the watches");
  expect(state()).toEqual(["a/one true", "a/two true", "b/one true", "b/two true"]);
});

it("cost one question for each namespace and round, and no list", async () => {
  const before = lists();
  await until(() => questions() >= 10, "questions");
  expect(lists()).toBe(before);
});

it("is still reading what was reported and waits to be taken in", async () => {
  const waiting = new Set(keys);
  const reading = (): boolean => referenced.reading((key) => waiting.has(key));
  expect(reading()).toBe(true);
  await until(() => referenced.pending() === 0, "every object");
  expect(reading()).toBe(true);
  waiting.clear();
  expect(reading()).toBe(false);
  keys.forEach((key) => waiting.add(key)); // what changes later is no first reading
  expect(reading()).toBe(false);
});
