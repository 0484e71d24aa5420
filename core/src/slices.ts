/**
 * The table of slices. Its order is the order in which their pieces are put together. A new section is one folder and one line here.
 */
import type { SectionKey, Slice } from "./slice.ts";

/** A slice whose spec and model only itself knows. */
export type AnySlice = Slice<SectionKey, never, unknown>;

export const slices: readonly AnySlice[] = [];
