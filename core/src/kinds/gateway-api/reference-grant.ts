/** ReferenceGrant: who in other namespaces may name what in this one. */
import type { KubeObject } from "../../world.ts";
import { fields, items, present, text } from "../json.ts";
import { metaOf } from "../meta.ts";

export interface ReferenceGrant {
  readonly namespace: string;
  readonly from: readonly { readonly group: string; readonly kind: string; readonly namespace: string }[];
  readonly to: readonly { readonly group: string; readonly kind: string; readonly name?: string }[];
}

export function parseReferenceGrant(object: KubeObject): ReferenceGrant {
  const spec = fields(object.spec);
  return {
    namespace: metaOf(object).namespace,
    from: items(spec["from"]).map((item) => ({
      group: text(fields(item)["group"]) ?? "",
      kind: text(fields(item)["kind"]) ?? "",
      namespace: text(fields(item)["namespace"]) ?? "",
    })),
    to: items(spec["to"]).map((item) => ({
      group: text(fields(item)["group"]) ?? "",
      kind: text(fields(item)["kind"]) ?? "",
      ...present<{ name: string }>({ name: text(fields(item)["name"]) || undefined }),
    })),
  };
}

export interface Reference {
  readonly from: { readonly group: string; readonly kind: string; readonly namespace: string };
  readonly to: { readonly group: string; readonly kind: string; readonly name: string };
}

export function grants(grant: ReferenceGrant, reference: Reference): boolean {
  return (
    grant.from.some(
      (from) =>
        from.group === reference.from.group &&
        from.kind === reference.from.kind &&
        from.namespace === reference.from.namespace,
    ) &&
    grant.to.some(
      (to) =>
        to.group === reference.to.group &&
        to.kind === reference.to.kind &&
        (to.name === undefined || to.name === reference.to.name),
    )
  );
}
