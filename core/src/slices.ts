/**
 * The table of slices. Its order is the order in which their pieces are put together, which is that of the checks (api.md "Order of checks").
 * A new section is one folder and one line here.
 */
import type { SectionKey, Slice } from "./slice.ts";
import { allowlist } from "./slices/allowlist/slice.ts";
import { authentication } from "./slices/authentication/slice.ts";
import { authorization } from "./slices/authorization/slice.ts";
import { clientIP } from "./slices/clientIP/slice.ts";
import { denylist } from "./slices/denylist/slice.ts";
import { logging } from "./slices/logging/slice.ts";
import { mtls } from "./slices/mtls/slice.ts";
import { rateLimit } from "./slices/rateLimit/slice.ts";
import { transport } from "./slices/transport/slice.ts";

/** A slice whose spec and model only itself knows. */
export type AnySlice = Slice;

/** Only here does a slice lose its types: what it resolved is given back to itself alone. */
function erased<K extends SectionKey, S, M>(slice: Slice<K, S, M>): AnySlice {
  return slice as unknown as AnySlice;
}

export const slices: readonly AnySlice[] = [
  erased(clientIP), // whose address it is, before anything asks for it
  erased(transport),
  erased(denylist),
  erased(allowlist),
  erased(rateLimit),
  erased(authentication),
  erased(authorization), // behind it: rules ask who is calling
  erased(mtls),
  erased(logging),
];
