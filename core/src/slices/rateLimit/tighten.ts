/**
 * Under an Override: every limit of both counts. The Override's limits always stay, also beside a smaller one of the same name: they count
 * elsewhere (all hosts of the Gateway, all routes of a host), where the smaller one does not. So the smaller refuses first, whosever it is.
 */
import type { Problem } from "../../problems.ts";
import { sameJson } from "../../same.ts";
import type { Tightened } from "../../slice.ts";
import type { Limit, Model } from "./model.ts";

export function tighten(floor: Model, near: Model): Tightened<Model> {
  const same = (limit: Limit): readonly Limit[] =>
    floor.limits.filter((other) => other.name === limit.name && comparable(other, limit) && !larger(other, limit));
  const left = near.limits.filter((limit) => same(limit).length === 0);
  const model: Model = { limits: [...floor.limits, ...left], headers: floor.headers };
  const lost = near.limits.filter((limit) => same(limit).some((other) => larger(limit, other)));
  if (lost.length === 0) return { model };
  const message = lost.map(({ name }) => `its limit ${name} is smaller`).join(", ");
  const overridden: Problem = { reason: "Overridden", path: "spec.rateLimit.limits", message };
  return lost.length < near.limits.length ? { model, overridden, partly: true } : { model, overridden };
}

/** Whether both count the same calls of the same callers over the same proxies. */
function comparable(a: Limit, b: Limit): boolean {
  return a.shared === b.shared && sameJson(a.match, b.match) && sameJson(callers(a), callers(b));
}

function callers({ keys }: Limit): unknown {
  const { type, maxKeys } = { maxKeys: undefined, ...keys };
  return keys.type === "Collected" ? { by: keys.by, maxKeys } : { type, maxKeys };
}

/** Whether `a` ever lets pass what `b` refuses. */
function larger(a: Limit, b: Limit): boolean {
  return a.requests * b.perMs > b.requests * a.perMs || a.burst > b.burst;
}
