/**
 * The table of slices. Its order is the order in which their pieces are put together. A new section is one folder and one line here.
 */
import type { z } from "zod";
import type { SectionKey, Slice } from "./slice.ts";
import { allowlist } from "./slices/allowlist/slice.ts";
import { clientIP } from "./slices/clientIP/slice.ts";
import { denylist } from "./slices/denylist/slice.ts";
import { mtls } from "./slices/mtls/slice.ts";
import { rateLimit } from "./slices/rateLimit/slice.ts";
import { transport } from "./slices/transport/slice.ts";

/** A slice whose spec and model only itself knows. */
export type AnySlice = Omit<Slice<SectionKey, never, unknown>, "schema"> & { readonly schema: z.ZodType };

export const slices: readonly AnySlice[] = [clientIP, denylist, allowlist, rateLimit, mtls, transport];
