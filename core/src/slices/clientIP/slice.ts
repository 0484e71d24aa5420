/** Section `clientIP`: which address of a call is the client's, for lists, limits and logs (README.md beside this file). */
import { cidrRange } from "../../envoy/address-list.ts";
import type { Problem } from "../../problems.ts";
import { sameJson } from "../../same.ts";
import type { ListenerPiece, Slice } from "../../slice.ts";
import { schema, type Spec } from "./schema.ts";

export type Model = Spec;

export const clientIP: Slice<"clientIP", Spec, Model> = {
  key: "clientIP",
  schema,
  levels: ["Gateway", "Listener"],
  listenerSettings: ["trustedHops", "trustedProxies"],
  mayOpen: false,
  closes: true,
  audit: "the client's address is found once for the whole listener and cannot be found in a second way beside",
  validate: () => [],
  resolve: (spec) => ({ ok: true, model: spec }),
  tighten: (floor, near) => (sameJson(floor, near) ? { model: floor } : { model: floor, overridden }),
  listener,
};

const overridden: Problem = {
  reason: "Overridden",
  path: "spec.clientIP",
  message: "it says itself whose address counts",
};

/**
 * Hops: the N-th address of x-forwarded-for from the right, the peer where there are fewer. Proxies: from the right past every trusted
 * address, and only where the peer itself is trusted. Envoy wants use_remote_address off for the latter; who sends x-envoy-* then must not
 * matter, so the chain removes those before anything reads them.
 */
function listener({ trustedHops, trustedProxies }: Model): ListenerPiece {
  if (trustedProxies === undefined)
    return { hcm: { use_remote_address: true, xff_num_trusted_hops: trustedHops ?? 0 } };
  return {
    hcm: {
      use_remote_address: false,
      original_ip_detection_extensions: [
        {
          name: "envoy.http.original_ip_detection.xff",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
            xff_trusted_cidrs: { cidrs: trustedProxies.map(cidrRange) },
            skip_xff_append: false,
          },
        },
      ],
    },
  };
}
