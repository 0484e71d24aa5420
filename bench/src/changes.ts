/** The kinds of change that are measured, each as a series of single changes: how to make one, and how a client sees that it holds. */
import { get, type Reply } from "./http-client.ts";
import {
  hostOf,
  type Manifest,
  namespaceOf,
  policy,
  rotatingConsumer,
  rotatingKey,
  route,
  ROUTES_PER_NAMESPACE,
  type Surroundings,
  takesTokens,
} from "./population.ts";
import type { Stage } from "./stage.ts";
import { seededRandom } from "./statistics.ts";

export interface Change {
  /** Work that has to come first and is not measured. */
  readonly before?: () => Promise<unknown>;
  readonly apply: () => Promise<unknown>;
  readonly after?: () => Promise<unknown>;
  readonly request: string;
  readonly obeys: (reply: Reply) => boolean;
}

export interface Kind {
  readonly name: string;
  /** Changes come in pairs, a change and its undoing, so that a series leaves everything as it was. */
  readonly pair: () => readonly [Change, Change];
}

/** Every address that the client may have. */
const EVERYBODY = "127.0.0.0/8";

export function changeKinds(stage: Stage): readonly Kind[] {
  const { api, around } = stage;
  const random = seededRandom(stage.size());
  const any = (): number => Math.floor(random() * stage.size());
  const among = { ...around, namespaces: Math.ceil(stage.size() / ROUTES_PER_NAMESPACE) };
  let revision = 0;
  let next = stage.size();

  const policyEdit = (): readonly [Change, Change] => {
    const index = any();
    const request = stage.request(index);
    const edit = (denied: readonly string[], status: number): Change => ({
      apply: () => api.merge(policy(around, index, denied)),
      request,
      obeys: (reply) => reply.status === status,
    });
    return [edit([EVERYBODY], 403), edit([], 200)];
  };

  const routeEdit = (): readonly [Change, Change] => {
    const index = any();
    const request = stage.request(index);
    const edit = (): Change => {
      const mine = ++revision;
      const shown = new RegExp(`\r\nx-revision: ${String(mine)}(\r\n|$)`);
      return { apply: () => api.merge(route(around, index, mine)), request, obeys: ({ head }) => shown.test(head) };
    };
    return [edit(), edit()];
  };

  const comesAndGoes = (surroundings: Surroundings): readonly [Change, Change] => {
    const index = next++;
    const request = stage.request(index, surroundings);
    const [made, guarded] = [route(surroundings, index), policy(surroundings, index)];
    return [
      {
        before: () => api.create(guarded),
        apply: () => api.create(made),
        request,
        obeys: ({ status }) => status === 200,
      },
      {
        apply: () => api.remove(made),
        after: () => api.remove(guarded),
        request,
        obeys: ({ status }) => status === 404,
      },
    ];
  };

  const keyComesAndGoes = (): readonly [Change, Change] => {
    const index = any();
    const odd = takesTokens(index) ? index + 1 : index;
    const namespace = namespaceOf(around, odd);
    const request = get(hostOf(odd), "/", { "x-api-key": rotatingKey(namespace) });
    const edit = (both: boolean, status: number): Change => {
      const consumer: Manifest = rotatingConsumer(namespace, both);
      return { apply: () => api.merge(consumer), request, obeys: (reply) => reply.status === status };
    };
    return [edit(false, 401), edit(true, 200)];
  };

  return [
    { name: "policy edit", pair: policyEdit },
    { name: "route edit", pair: routeEdit },
    { name: "route new / gone", pair: () => comesAndGoes(among) },
    // Its consumers, their keys and its issuers come to the Gateway with it.
    { name: "first route of a namespace", pair: () => comesAndGoes(around) },
    { name: "key removed / added", pair: keyComesAndGoes },
  ];
}
