/** CustomResourceDefinition of a kind. No defaults anywhere: they live in code and are fixed per version (api.md). */
import { GROUP, type DefinedKind, VERSION } from "./kinds.ts";
import { type SchemaNode, structural } from "./structural.ts";

export function definition(kind: DefinedKind): SchemaNode {
  const singular = kind.kind.toLowerCase();
  const name = `${kind.plural}.${GROUP}`;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name, labels: { "app.kubernetes.io/part-of": "gatewarden", ...kind.labels } },
    spec: {
      group: GROUP,
      scope: "Namespaced",
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular,
        shortNames: [kind.shortName],
        categories: ["gatewarden"],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          ...(kind.status === undefined ? {} : { subresources: { status: {} } }),
          additionalPrinterColumns: kind.columns,
          schema: { openAPIV3Schema: schemaOf(kind) },
        },
      ],
    },
  };
}

function schemaOf(kind: DefinedKind): SchemaNode {
  return {
    type: "object",
    description: kind.description,
    required: ["spec"],
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { type: "object" },
      spec: structural(kind.spec, "preserve"),
      ...(kind.status === undefined ? {} : { status: structural(kind.status, "prune") }),
    },
  };
}
