/** HTTPRoute as written, references with their defaults filled in. What cannot be served is found in attach/route-faults.ts. */
import type { JsonObject, JsonValue, KubeObject } from "../../world.ts";
import { fields, integer, items, optionalFields, present, text, texts } from "../json.ts";
import { type Meta, metaOf } from "../meta.ts";
import { type Shared, unshared } from "../shared.ts";
import { GATEWAY_GROUP } from "./gateway.ts";

export interface ParentRef {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly sectionName?: string;
  readonly port?: number;
  /** As written: status repeats it. */
  readonly written: JsonObject;
}

export interface ValueMatch {
  readonly name: string;
  readonly type: string; // Exact | RegularExpression
  readonly value: string;
}

export interface RouteMatch {
  readonly path: { readonly type: string; readonly value: string }; // Exact | PathPrefix | RegularExpression
  readonly headers: readonly ValueMatch[];
  readonly query: readonly ValueMatch[];
  readonly method?: string;
}

export interface HeaderEdit {
  readonly set: readonly NameValue[];
  readonly add: readonly NameValue[];
  readonly remove: readonly string[];
}

export interface NameValue {
  readonly name: string;
  readonly value: string;
}

export type PathModifier =
  | { readonly type: "ReplaceFullPath"; readonly value: string }
  | { readonly type: "ReplacePrefixMatch"; readonly value: string };

export type Filter =
  | { readonly type: "RequestHeaderModifier" | "ResponseHeaderModifier"; readonly edit: HeaderEdit }
  | {
      readonly type: "RequestRedirect";
      readonly scheme?: string;
      readonly hostname?: string;
      readonly path?: PathModifier;
      readonly port?: number;
      readonly statusCode: number;
    }
  | { readonly type: "URLRewrite"; readonly hostname?: string; readonly path?: PathModifier }
  | {
      readonly type: "RequestMirror";
      readonly backend: BackendRef;
      readonly fraction?: { readonly numerator: number; readonly denominator: number };
    }
  | { readonly type: "CORS"; readonly cors: Cors }
  | { readonly type: "Unknown"; readonly written: string };

export interface Cors {
  readonly origins: readonly string[];
  readonly methods: readonly string[];
  readonly headers: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly credentials: boolean;
  readonly maxAge: number;
}

export interface BackendRef {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly port?: number;
}

export interface WeightedBackend extends BackendRef {
  readonly weight: number;
  readonly filters: readonly Filter[];
}

export interface RouteRule {
  readonly name?: string;
  readonly matches: readonly RouteMatch[];
  readonly filters: readonly Filter[];
  readonly backends: readonly WeightedBackend[];
  readonly requestTimeout?: string;
  readonly backendTimeout?: string;
}

export interface HttpRoute extends Meta {
  readonly parents: readonly ParentRef[];
  readonly hostnames: readonly string[];
  readonly rules: readonly RouteRule[];
}

export function parseHttpRoute(object: KubeObject, shared: Shared = unshared): HttpRoute {
  const spec = fields(object.spec);
  const meta = metaOf(object);
  return {
    ...meta,
    parents: shared.once(`parents ${meta.namespace}`, spec["parentRefs"], () =>
      items(spec["parentRefs"]).map((item) => parseParentRef(item, meta.namespace)),
    ),
    hostnames: texts(spec["hostnames"]).map((host) => host.toLowerCase()),
    rules: shared.once(`rules ${meta.namespace}`, spec["rules"], () =>
      (spec["rules"] === undefined ? [{}] : items(spec["rules"])).map((rule) => parseRule(rule, meta.namespace)),
    ),
  };
}

export function parseParentRef(value: unknown, namespace: string): ParentRef {
  const ref = fields(value);
  return {
    group: text(ref["group"]) ?? GATEWAY_GROUP,
    kind: text(ref["kind"]) ?? "Gateway",
    namespace: text(ref["namespace"]) ?? namespace,
    name: text(ref["name"]) ?? "",
    ...present<Pick<ParentRef, "sectionName" | "port">>({
      sectionName: text(ref["sectionName"]),
      port: integer(ref["port"]),
    }),
    written: ref as { readonly [key: string]: JsonValue },
  };
}

const everything: RouteMatch = { path: { type: "PathPrefix", value: "/" }, headers: [], query: [] };

function parseRule(value: unknown, namespace: string): RouteRule {
  const rule = fields(value);
  const timeouts = fields(rule["timeouts"]);
  const matches = items(rule["matches"]).map(parseMatch);
  return {
    matches: matches.length === 0 ? [everything] : matches,
    filters: items(rule["filters"]).map((filter) => parseFilter(filter, namespace)),
    backends: items(rule["backendRefs"]).map((item) => ({
      ...parseBackendRef(item, namespace),
      weight: integer(fields(item)["weight"]) ?? 1,
      filters: items(fields(item)["filters"]).map((filter) => parseFilter(filter, namespace)),
    })),
    ...present<Pick<RouteRule, "name" | "requestTimeout" | "backendTimeout">>({
      name: text(rule["name"]),
      requestTimeout: text(timeouts["request"]),
      backendTimeout: text(timeouts["backendRequest"]),
    }),
  };
}

function parseMatch(value: unknown): RouteMatch {
  const match = fields(value);
  const path = fields(match["path"]);
  return {
    path: { type: text(path["type"]) ?? "PathPrefix", value: text(path["value"]) ?? "/" },
    headers: uniqueNames(items(match["headers"]).map(parseValueMatch), (name) => name.toLowerCase()),
    query: uniqueNames(items(match["queryParams"]).map(parseValueMatch), (name) => name),
    ...present<Pick<RouteMatch, "method">>({ method: text(match["method"]) }),
  };
}

/** Of several entries for one name only the first counts (Gateway API). */
function uniqueNames(matches: readonly ValueMatch[], fold: (name: string) => string): readonly ValueMatch[] {
  return [...new Map(matches.toReversed().map((match) => [fold(match.name), match])).values()].toReversed();
}

function parseValueMatch(value: unknown): ValueMatch {
  const match = fields(value);
  return { name: text(match["name"]) ?? "", type: text(match["type"]) ?? "Exact", value: text(match["value"]) ?? "" };
}

export function parseBackendRef(value: unknown, namespace: string): BackendRef {
  const ref = fields(value);
  return {
    group: text(ref["group"]) ?? "",
    kind: text(ref["kind"]) ?? "Service",
    namespace: text(ref["namespace"]) ?? namespace,
    name: text(ref["name"]) ?? "",
    ...present<Pick<BackendRef, "port">>({ port: integer(ref["port"]) }),
  };
}

function parseFilter(value: unknown, namespace: string): Filter {
  const filter = fields(value);
  switch (filter["type"]) {
    case "RequestHeaderModifier":
      return { type: "RequestHeaderModifier", edit: parseEdit(filter["requestHeaderModifier"]) };
    case "ResponseHeaderModifier":
      return { type: "ResponseHeaderModifier", edit: parseEdit(filter["responseHeaderModifier"]) };
    case "RequestRedirect": {
      const redirect = fields(filter["requestRedirect"]);
      return {
        type: "RequestRedirect",
        statusCode: integer(redirect["statusCode"]) ?? 302,
        ...present<{ scheme: string; hostname: string; path: PathModifier; port: number }>({
          scheme: text(redirect["scheme"]),
          hostname: text(redirect["hostname"]),
          path: parsePathModifier(redirect["path"]),
          port: integer(redirect["port"]),
        }),
      };
    }
    case "URLRewrite": {
      const rewrite = fields(filter["urlRewrite"]);
      return {
        type: "URLRewrite",
        ...present<{ hostname: string; path: PathModifier }>({
          hostname: text(rewrite["hostname"]),
          path: parsePathModifier(rewrite["path"]),
        }),
      };
    }
    case "RequestMirror":
      return parseMirror(fields(filter["requestMirror"]), namespace);
    case "CORS":
      return { type: "CORS", cors: parseCors(filter["cors"]) };
    default:
      return { type: "Unknown", written: text(filter["type"]) ?? "" };
  }
}

function parseMirror(mirror: Readonly<Record<string, unknown>>, namespace: string): Filter {
  const percent = integer(mirror["percent"]);
  const written = optionalFields(mirror["fraction"]);
  const fraction =
    percent !== undefined
      ? { numerator: percent, denominator: 100 }
      : written && {
          numerator: integer(written["numerator"]) ?? 0,
          denominator: integer(written["denominator"]) ?? 100,
        };
  return {
    type: "RequestMirror",
    backend: parseBackendRef(mirror["backendRef"], namespace),
    ...(fraction === undefined ? {} : { fraction }),
  };
}

function parseCors(value: unknown): Cors {
  const cors = fields(value);
  return {
    origins: texts(cors["allowOrigins"]),
    methods: texts(cors["allowMethods"]),
    headers: texts(cors["allowHeaders"]),
    exposeHeaders: texts(cors["exposeHeaders"]),
    credentials: cors["allowCredentials"] === true,
    maxAge: integer(cors["maxAge"]) ?? 5,
  };
}

function parseEdit(value: unknown): HeaderEdit {
  const edit = fields(value);
  const pairs = (list: unknown): readonly NameValue[] =>
    items(list).map((item) => ({ name: text(fields(item)["name"]) ?? "", value: text(fields(item)["value"]) ?? "" }));
  return { set: pairs(edit["set"]), add: pairs(edit["add"]), remove: texts(edit["remove"]) };
}

function parsePathModifier(value: unknown): PathModifier | undefined {
  const path = optionalFields(value);
  if (path === undefined) return undefined;
  return path["type"] === "ReplaceFullPath"
    ? { type: "ReplaceFullPath", value: text(path["replaceFullPath"]) ?? "/" }
    : { type: "ReplacePrefixMatch", value: text(path["replacePrefixMatch"]) ?? "/" };
}
