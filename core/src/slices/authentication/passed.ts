/** A credential that is good: who it is, and the request as later checks see it. */
import type { Call, Caller, Deny, Pass } from "../../simulate/contract.ts";
import { CONSUMER_HEADER } from "../../translate/chain.ts";
import { cookiePattern } from "./identity.ts";
import type { Model } from "./model.ts";
import type { Place } from "./place.ts";

export interface Passing {
  readonly caller: Caller;
  readonly reason: string;
  readonly hidden: readonly Place[];
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly consumerHeader: string | undefined;
}

export function pass(
  model: Model,
  call: Call,
  { caller, reason, hidden, headers = {}, consumerHeader }: Passing,
): Pass {
  const { consumer } = caller;
  const shown = model.qualified ? consumer : consumer?.slice(consumer.indexOf("/") + 1);
  return {
    result: "Pass",
    reason,
    policy: model.policy,
    caller,
    ...edits(call, hidden, {
      ...headers,
      ...(consumer === undefined ? {} : { [CONSUMER_HEADER]: consumer }),
      ...(consumerHeader === undefined || shown === undefined ? {} : { [consumerHeader]: shown }),
    }),
  };
}

/** Credentials off, identity headers on. */
export function edits(
  { headers }: Call,
  hidden: readonly Place[],
  set: Readonly<Record<string, string | undefined>>,
): Pick<Pass, "headers" | "hiddenParameters"> {
  const names = (kind: Place["in"]): readonly string[] =>
    hidden.flatMap((place) => (place.in === kind ? [place.name] : []));
  const cookies = names("cookie");
  const left = headers
    .joined("cookie")
    ?.replaceAll(new RegExp(cookies.length === 0 ? "(?!)" : cookiePattern(cookies), "g"), "");
  return {
    headers: {
      ...Object.fromEntries(names("header").map((name) => [name, undefined])),
      ...(cookies.length === 0 ? {} : { cookie: left === "" ? undefined : left }),
      ...set,
    },
    ...(names("param").length === 0 ? {} : { hiddenParameters: names("param") }),
  };
}

export function deny({ policy }: Model, status: number, code: string, reason: string): Deny {
  return { result: "Deny", status, code, policy, reason };
}

export function suspended(model: Model, id: string): Deny {
  return deny(model, 403, "GW-AUTHN-006", `consumer ${id} is suspended`);
}
