/** Whether a request fits a match of an HTTPRoute, as translate/match.ts has Envoy ask it. */
import { PRESENT } from "../attach/route-faults.ts";
import type { RouteMatch, ValueMatch } from "../kinds/gateway-api/http-route.ts";
import type { CallHeaders } from "./contract.ts";
import { fits } from "./expression.ts";
import { rawParameters } from "./parameters.ts";

export interface Matched {
  readonly method: string;
  readonly path: string; // normalised, query included
  readonly headers: CallHeaders;
}

export function fitsMatch({ path, method, headers, query }: RouteMatch, request: Matched): boolean {
  if (method !== undefined && method !== request.method) return false;
  if (!fitsPath(path, pathOf(request.path))) return false;
  const parameters = rawParameters(request.path);
  return (
    // Any of a repeated header's values will do, and of a repeated parameter the first one counts (measured).
    headers.every((one) => request.headers.all(one.name).some((value) => fitsValue(one, value))) &&
    query.every((one) => fitsValue(one, parameters.find(([name]) => name === one.name)?.[1]))
  );
}

/** Without the query. */
export function pathOf(path: string): string {
  const query = path.indexOf("?");
  return query < 0 ? path : path.slice(0, query);
}

function fitsPath({ type, value }: RouteMatch["path"], path: string): boolean {
  if (type === "Exact") return path === value;
  if (type === "RegularExpression") return fits(value, path);
  const prefix = value.replace(/\/+$/, "");
  return prefix === "" || path === prefix || path.startsWith(`${prefix}/`);
}

function fitsValue({ type, value }: ValueMatch, found: string | undefined): boolean {
  if (found === undefined) return false;
  if (type === PRESENT) return true;
  return type === "RegularExpression" ? fits(value, found) : found === value;
}
