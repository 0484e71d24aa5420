/** GatewayClass and Gateway as written. */
import type { JsonObject, KubeObject } from "../../world.ts";
import { fields, integer, items, optionalFields, present, text, textMap } from "../json.ts";
import { type Meta, metaOf } from "../meta.ts";

export const GATEWAY_GROUP = "gateway.networking.k8s.io";

export interface GatewayClass extends Meta {
  readonly controllerName: string;
  readonly parameters?: ObjectRef;
}

export interface ObjectRef {
  readonly group: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
}

export interface Selector {
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly matchExpressions: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values: readonly string[];
  }[];
}

export interface ListenerSpec {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly hostname?: string;
  readonly tls?: { readonly mode: string; readonly certificateRefs: readonly ObjectRef[] };
  readonly from: "All" | "Same" | "Selector" | "None";
  readonly selector?: Selector;
  readonly kinds: readonly { readonly group: string; readonly kind: string }[];
}

export interface Gateway extends Meta {
  readonly className: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly listeners: readonly ListenerSpec[];
  readonly addresses: readonly { readonly type: string; readonly value: string }[];
  readonly frontend?: FrontendTls;
  readonly infrastructure?: GatewayInfrastructure;
}

/** `spec.infrastructure`: for what is made for the Gateway. */
export interface GatewayInfrastructure {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly parameters?: ObjectRef;
}

/** Gateway API's own client certificate validation (`spec.tls.frontend`). */
export interface FrontendTls {
  readonly byDefault?: FrontendValidation;
  readonly byPort: Readonly<Record<string, FrontendValidation | null>>; // null: the port validates nothing
}

export interface FrontendValidation {
  readonly mode: "AllowValidOnly" | "AllowInsecureFallback";
  readonly caRefs: readonly ObjectRef[];
}

export function parseGatewayClass(object: KubeObject): GatewayClass {
  const spec = fields(object.spec);
  return {
    ...metaOf(object),
    controllerName: text(spec["controllerName"]) ?? "",
    ...present<Pick<GatewayClass, "parameters">>({ parameters: parseParameters(spec["parametersRef"]) }),
  };
}

export function parseGateway(object: KubeObject): Gateway {
  const spec = fields(object.spec);
  return {
    ...metaOf(object),
    className: text(spec["gatewayClassName"]) ?? "",
    annotations: object.metadata.annotations ?? {},
    listeners: items(spec["listeners"]).map(parseListener),
    addresses: items(spec["addresses"]).map((item) => {
      const address = fields(item);
      return { type: text(address["type"]) ?? "IPAddress", value: text(address["value"]) ?? "" };
    }),
    ...present<Pick<Gateway, "frontend" | "infrastructure">>({
      frontend: parseFrontend(fields(spec["tls"])["frontend"]),
      infrastructure: parseInfrastructure(spec["infrastructure"]),
    }),
  };
}

function parseInfrastructure(value: unknown): GatewayInfrastructure | undefined {
  const infrastructure = optionalFields(value);
  if (infrastructure === undefined) return undefined;
  return {
    labels: textMap(infrastructure["labels"]),
    annotations: textMap(infrastructure["annotations"]),
    ...present<Pick<GatewayInfrastructure, "parameters">>({
      parameters: parseParameters(infrastructure["parametersRef"]),
    }),
  };
}

function parseParameters(value: unknown): ObjectRef | undefined {
  return optionalFields(value) && parseObjectRef(value, "", "");
}

function parseListener(item: unknown): ListenerSpec {
  const listener = fields(item);
  const tls = optionalFields(listener["tls"]);
  const routes = fields(listener["allowedRoutes"]);
  const namespaces = fields(routes["namespaces"]);
  const from = text(namespaces["from"]);
  return {
    name: text(listener["name"]) ?? "",
    port: integer(listener["port"]) ?? 0,
    protocol: text(listener["protocol"]) ?? "",
    from: from === "All" || from === "Selector" || from === "None" ? from : "Same",
    kinds: items(routes["kinds"]).map((kind) => ({
      group: text(fields(kind)["group"]) ?? GATEWAY_GROUP,
      kind: text(fields(kind)["kind"]) ?? "",
    })),
    ...present<Pick<ListenerSpec, "hostname" | "tls" | "selector">>({
      hostname: text(listener["hostname"])?.toLowerCase() || undefined,
      tls: tls && {
        mode: text(tls["mode"]) ?? "Terminate",
        certificateRefs: items(tls["certificateRefs"]).map((ref) => parseObjectRef(ref, "", "Secret")),
      },
      selector: from === "Selector" ? parseSelector(namespaces["selector"]) : undefined,
    }),
  };
}

export function parseObjectRef(value: unknown, group: string, kind: string): ObjectRef {
  const ref = fields(value);
  return {
    group: text(ref["group"]) ?? group,
    kind: text(ref["kind"]) ?? kind,
    name: text(ref["name"]) ?? "",
    ...present<Pick<ObjectRef, "namespace">>({ namespace: text(ref["namespace"]) }),
  };
}

function parseSelector(value: unknown): Selector {
  const selector = fields(value);
  return {
    matchLabels: textMap(selector["matchLabels"]),
    matchExpressions: items(selector["matchExpressions"]).map((item) => ({
      key: text(fields(item)["key"]) ?? "",
      operator: text(fields(item)["operator"]) ?? "",
      values: items(fields(item)["values"]).filter((one) => typeof one === "string"),
    })),
  };
}

/** A selector without any requirement selects everything, as in Kubernetes; an operator that is not known selects nothing. */
export function selects(selector: Selector, labels: Readonly<Record<string, string>>): boolean {
  return (
    Object.entries(selector.matchLabels).every(([key, value]) => labels[key] === value) &&
    selector.matchExpressions.every(({ key, operator, values }) => {
      const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
      switch (operator) {
        case "In":
          return value !== undefined && values.includes(value);
        case "NotIn":
          return value === undefined || !values.includes(value);
        case "Exists":
          return value !== undefined;
        case "DoesNotExist":
          return value === undefined;
        default:
          return false;
      }
    })
  );
}

function parseFrontend(value: unknown): FrontendTls | undefined {
  const frontend = optionalFields(value);
  if (frontend === undefined) return undefined;
  return {
    ...present<Pick<FrontendTls, "byDefault">>({ byDefault: parseValidation(frontend["default"]) }),
    byPort: Object.fromEntries(
      items(frontend["perPort"]).map((item) => [
        String(integer(fields(item)["port"])),
        parseValidation(fields(item)["tls"]) ?? null,
      ]),
    ),
  };
}

function parseValidation(config: unknown): FrontendValidation | undefined {
  const validation = optionalFields(fields(config)["validation"]);
  if (validation === undefined) return undefined;
  return {
    mode: validation["mode"] === "AllowInsecureFallback" ? "AllowInsecureFallback" : "AllowValidOnly",
    caRefs: items(validation["caCertificateRefs"]).map((ref) => parseObjectRef(ref, "", "ConfigMap")),
  };
}

/** The parent or ancestor reference that names this Gateway (and a listener of it). */
export function gatewayRef(
  gateway: { readonly namespace: string; readonly name: string },
  sectionName?: string,
): JsonObject {
  return {
    group: GATEWAY_GROUP,
    kind: "Gateway",
    namespace: gateway.namespace,
    name: gateway.name,
    ...(sectionName === undefined ? {} : { sectionName }),
  };
}
