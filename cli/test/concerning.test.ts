/** What a question about one host leaves unread makes no difference to the answer. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { simulate } from "@gatewarden/core/simulate/simulate.ts";
import { concernOf } from "../src/asked.ts";
import { openObjects } from "../src/offline/inspect.ts";
import { type Manifests, readManifests } from "../src/offline/manifests.ts";
import { stringify } from "yaml";

let folder: string;
beforeAll(() => void (folder = mkdtempSync(path.join(tmpdir(), "concerning-"))));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(content: string): string {
  const file = path.join(folder, "all.yaml");
  writeFileSync(file, content);
  return file;
}

async function read(content: string, host?: string, carriesKey = false): Promise<Manifests> {
  const found = await readManifests([fileOf(content)], host === undefined ? undefined : { host, carriesKey });
  if (!found.ok) throw new Error(found.message);
  return found.value;
}

async function namesRead(content: string, host: string, carriesKey = false): Promise<readonly string[]> {
  const { objects } = await read(content, host, carriesKey);
  return [...objects.keys()].filter((id) => !id.startsWith("Namespace/")).sort();
}

const route = (name: string, hostnames: string): string =>
  `apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: ${name}, namespace: shop}\nspec:\n  parentRefs: [{name: edge}]\n${hostnames}`;
const policy = (name: string, rest: string): string =>
  `apiVersion: gatewarden.io/v1alpha1\nkind: ApiPolicy\nmetadata: {name: ${name}, namespace: shop}\nspec:\n${rest}`;
const ofRoute = (name: string): string =>
  `  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: ${name}}]\n`;
const own = [route("own", "  hostnames: [own.test]\n"), policy("own", `${ofRoute("own")}  denylist: {}\n`)];

describe("left out", () => {
  it.each<[string, string]>([
    ["in brackets", "  hostnames: [a.test, b.test]\n"],
    ["on lines", "  hostnames:\n  - a.test\n"],
    ["on lines, in quotes", '  hostnames:\n    - "a.test"\n'],
  ])(
    "are routes of other hosts, written %s, and their policies, whatever they have in common in their names",
    async (_, hostnames) => {
      const others = [route("own-2", hostnames), policy("own-2", `${ofRoute("own-2")}  denylist: {}\n`)];
      expect(await namesRead([...others, ...own].join("---\n"), "own.test")).toEqual([
        "ApiPolicy/shop/own",
        "HTTPRoute/shop/own",
      ]);
    },
  );
});

describe("read all the same", () => {
  it.each<[string, string]>([
    ["without hosts", "  rules: []\n"],
    ["with an empty list", "  hostnames: []\n"],
    ["with nothing behind it", "  hostnames:\n  rules: []\n"],
    ["of a wildcard", '  hostnames: [a.test, "*.test"]\n'],
    ["of the host in capitals", "  hostnames: [OWN.test]\n"],
    ["in a comment alone", "  # hostnames: [a.test]\n  rules: []\n"],
    ["behind a value", "  rules: [] # hostnames: [a.test]\n"],
    ["in a block of text", "  note: |\n    hostnames: [a.test]\n"],
    ["with an escape", '  hostnames: ["a.test", "\\u006fwn.test"]\n'],
    ["with an anchor", "  x: &h [own2]\n  hostnames: [a.test]\n"],
    ["in quotes over lines", '  x: "a\n    hostnames: [a.test]"\n'],
  ])("is a route %s", async (_, hostnames) => {
    expect(await namesRead(route("odd", hostnames), "own.test")).toEqual(["HTTPRoute/shop/odd"]);
  });

  it.each<[string, string]>([
    ["of a Gateway", "  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]\n"],
    ["of a Namespace", "  targetRefs:\n  - kind: Namespace\n"],
    ["of this route among others", `${ofRoute("other").trimEnd().replace("}]", "}, {kind: HTTPRoute, name: own}]")}\n`],
    ["that sets headers in the namespace", `${ofRoute("other")}  authentication: {apiKey: {consumerHeader: x-user}}\n`],
  ])("is a policy %s", async (_, rest) => {
    expect(await namesRead([...own, policy("odd", rest)].join("---\n"), "own.test")).toContain("ApiPolicy/shop/odd");
  });

  it("is all of several namespaces where the call may carry a key", async () => {
    const other = route("other", "  hostnames: [a.test]\n");
    const elsewhere = route("far", "  hostnames: [b.test]\n").replace("shop", "blog");
    const all = [...own, other, elsewhere].join("---\n");
    expect(await namesRead(all, "own.test", true)).toHaveLength(4);
    const unsaid = all.replace(", namespace: blog", "");
    expect(await namesRead(unsaid, "own.test", true)).toHaveLength(4);
    expect(await namesRead(all, "own.test")).toHaveLength(2);
  });

  it("is a file that is divided in an unusual way", async () => {
    const other = route("other", "  hostnames: [a.test]\n");
    expect(await namesRead(`%YAML 1.2\n---\n${other}`, "own.test")).toEqual(["HTTPRoute/shop/other"]);
    expect(await namesRead(`${other}...\n---\n${own.join("---\n")}`, "own.test")).toHaveLength(3);
    expect(await namesRead(JSON.stringify({ apiVersion: "v1", kind: "List", items: [] }), "own.test")).toEqual([]);
  });
});

it("keeps the lines of what it reads", async () => {
  const other = route("other", "  hostnames: [a.test]\n");
  const { objects } = await read([other, other.replace("other", "next"), ...own].join("---\n"), "own.test");
  expect(objects.get("HTTPRoute/shop/own")?.at?.line("spec.hostnames")).toBe(20);
  const broken = [other, "kind: [\n"].join("---\n");
  expect(await readManifests([fileOf(broken)], { host: "own.test", carriesKey: false })).toMatchObject({
    ok: false,
    message: expect.stringMatching(/all\.yaml:(8|9): /),
  });
});

it("answers as with everything", async () => {
  const gateway = { apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway" } as const;
  const listeners = [
    { name: "http", port: 80, protocol: "HTTP", allowedRoutes: { namespaces: { from: "All" } } },
    { name: "inner", port: 80, protocol: "HTTP", hostname: "*.inner.test" },
  ];
  const documents: object[] = [
    { ...gateway, metadata: { name: "edge", namespace: "shop" }, spec: { gatewayClassName: "gatewarden", listeners } },
  ];
  const hosts = ["a.test", "b.test", "*.test", "a.inner.test", "*.inner.test"];
  const target = (name: string) => ({ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name });
  for (let at = 0; at < 60; at += 1) {
    const namespace = at % 3 === 0 ? "blog" : "shop";
    const name = `route-${String(at)}`;
    const hostnames = at % 11 === 0 ? {} : { hostnames: [hosts[at % hosts.length], `own-${String(at)}.test`] };
    const parentRefs = [{ name: "edge", namespace: "shop" }];
    const path = { type: "PathPrefix", value: `/p${String(at % 4)}` };
    const rules = [{ name: "all", matches: [{ path }], backendRefs: [{ name: "orders", port: 80 }] }];
    const key = { apiKey: { from: { headers: ["x-api-key"] }, ...(at % 7 === 0 ? { consumerHeader: "x-user" } : {}) } };
    const authentication = at % 4 === 0 ? { mode: "Public", reason: "test" } : key;
    const rateLimit = { limits: [{ name: "each", requests: 5, per: "1m", by: [{ type: "Header", name: "x-user" }] }] };
    const targetRefs = at % 13 === 0 ? [{ kind: "Namespace" }] : [target(name)];
    documents.push(
      { ...gateway, kind: "HTTPRoute", metadata: { name, namespace }, spec: { parentRefs, ...hostnames, rules } },
      {
        apiVersion: "gatewarden.io/v1alpha1",
        kind: "ApiPolicy",
        metadata: { name, namespace },
        spec: { targetRefs, authentication, rateLimit },
      },
    );
  }
  for (const namespace of ["shop", "blog"])
    documents.push(
      {
        apiVersion: "gatewarden.io/v1alpha1",
        kind: "ApiConsumer",
        metadata: { name: "erp", namespace },
        spec: { apiKeys: [{ name: "k", secretRef: { name: "keys", key: "erp" } }] },
      },
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "keys", namespace },
        stringData: { erp: `key-of-${namespace}` },
      },
    );
  const all = documents.map((one) => stringify(one)).join("---\n");
  const whole = openObjects((await read(all)).objects, { requirePolicy: true, nowMs: 0 }).open;
  let fewer = 0;
  for (const host of [
    "a.test",
    "A.Test.",
    "b.test",
    "own-7.test",
    "x.test",
    "z.inner.test",
    "a.inner.test",
    "other.example",
  ])
    for (const headers of [
      [],
      [["x-api-key", "key-of-blog"]],
      [
        ["x-api-key", "key-of-shop"],
        ["x-user", "root"],
      ],
    ] as const)
      for (const route of ["/p0", "/p1", "/p2", "/p3/x"]) {
        const base = { method: "GET", scheme: "http", host, path: route, from: "192.0.2.1", atMs: 0 } as const;
        const request = { ...base, headers: headers as readonly (readonly [string, string])[] };
        const part = await readManifests([path.join(folder, "all.yaml")], concernOf(request));
        if (!part.ok) throw new Error(part.message);
        const { open } = openObjects(part.value.objects, { requirePolicy: true, nowMs: 0 });
        if (part.value.objects.size < documents.length) fewer += 1;
        expect([request, simulate(open, request)]).toEqual([request, simulate(whole, request)]);
      }
  expect(fewer).toBeGreaterThan(10);
});
