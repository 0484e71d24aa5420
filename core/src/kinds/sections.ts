/** The sections of an ApiPolicy with their schemas: the one list that parser, CRD and reference page are made from. */
import type { z } from "zod";
import { later } from "../schema/later.ts";
import type { Immutable } from "../schema/rule.ts";
import type { SectionKey } from "../slice.ts";
import { schema as allowlist } from "../slices/allowlist/schema.ts";
import { schema as authentication } from "../slices/authentication/schema.ts";
import { schema as authorization } from "../slices/authorization/schema.ts";
import { schema as clientIP } from "../slices/clientIP/schema.ts";
import { schema as denylist } from "../slices/denylist/schema.ts";
import { schema as logging } from "../slices/logging/schema.ts";
import { schema as mtls } from "../slices/mtls/schema.ts";
import { schema as rateLimit } from "../slices/rateLimit/schema.ts";
import { schema as transport } from "../slices/transport/schema.ts";

export const SECTIONS = {
  authentication: later(() => authentication().describe("Who is calling.")),
  authorization: later(() => authorization().describe("Who may do what.")),
  rateLimit: later(() => rateLimit().describe("How many calls.")),
  mtls: later(() => mtls().describe("Client certificates, and TLS towards the Service.")),
  transport: later(() =>
    transport().describe("The listener's certificate and TLS version. Only on a Gateway or a listener."),
  ),
  allowlist: later(() => allowlist().describe("The only addresses that may call.")),
  denylist: later(() => denylist().describe("Addresses that may not call; beats the allowlist.")),
  clientIP: later(() =>
    clientIP().describe("Whose word counts for the client's address. Only on a Gateway or a listener."),
  ),
  logging: later(() => logging().describe("Which calls are recorded, with what, and where.")),
} as const satisfies Readonly<Record<SectionKey, () => z.ZodType>>;

export const SECTION_KEYS = Object.keys(SECTIONS) as readonly SectionKey[];

export type SectionSpec<K extends SectionKey> = Immutable<z.output<ReturnType<(typeof SECTIONS)[K]>>>;

/** Sections as written; absent: inherited. */
export type SectionSpecs = { readonly [K in SectionKey]?: SectionSpec<K> };
