/** Under an Override: union of fields and headers, the wider `calls`, the higher sampling, the Override's sinks where it names some. */
import type { Problem } from "../../problems.ts";
import { sameJson } from "../../same.ts";
import type { Tightened } from "../../slice.ts";
import type { Model } from "./model.ts";

/** Each records what the ones before it record (translate.ts). */
const WIDTHS = ["None", "Denied", "Errors", "All"] as const satisfies readonly Model["calls"][];

export function tighten(floor: Model, near: Model): Tightened<Model> {
  const wider = WIDTHS.indexOf(floor.calls) > WIDTHS.indexOf(near.calls) ? floor.calls : near.calls;
  const headers = [...floor.headers, ...near.headers.filter((header) => !includes(floor.headers, header))];
  const model: Model = {
    calls: wider,
    sampling: Math.max(floor.sampling, near.sampling),
    headers,
    fields: { ...near.fields, ...floor.fields },
    sinks: floor.sinks.length > 0 ? floor.sinks : near.sinks,
  };
  const lost = [
    ...(wider === near.calls ? [] : [`calls is ${wider}`]),
    ...(model.sampling === near.sampling ? [] : [`sampling is ${String(model.sampling)}`]),
    ...Object.entries(near.fields).flatMap(([key, value]) =>
      model.fields[key] === value ? [] : [`field ${key} is ${String(model.fields[key])}`],
    ),
    ...(near.sinks.length === 0 || sameJson(model.sinks, near.sinks) ? [] : ["its sinks are used"]),
  ];
  if (lost.length === 0) return { model };
  const overridden: Problem = { reason: "Overridden", path: "spec.logging", message: lost.join(", ") };
  return { model, overridden, partly: true };
}

function includes(headers: readonly string[], header: string): boolean {
  return headers.some((other) => other.toLowerCase() === header.toLowerCase());
}
