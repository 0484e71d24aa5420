/** Regular expressions that routes match with: Envoy refuses a whole scope for one that it does not take. */
import { regexFault as re2Fault } from "../envoy/re2.ts";

const MAX_LENGTH = 1024;

/** Why Envoy would not take it, or undefined. */
export function regexFault(source: string): string | undefined {
  if (source === "") return "is empty";
  return source.length > MAX_LENGTH ? `is longer than ${MAX_LENGTH} characters` : re2Fault(source);
}
