/** How V8 uses memory in a process that lives long and makes little garbage once it has started. */
import { setFlagsFromString } from "node:v8";

/**
 * Call before anything large is loaded. With V8's own choice the first evaluation of 5,000 routes grows the young generation so far that the
 * process stays at 370 MB instead of 240, for the same CPU time: what is not returned to the system later is not taken either.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
  setFlagsFromString("--max-semi-space-size=4");
}
