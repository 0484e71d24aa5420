/**
 * No form of a host gets round a policy (envoy.md L): for what each slot enforces, every way to write a host, whether its scope is found
 * at the first match or picked by a filter, and whatever the client says in headers of ours.
 */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { send } from "../../e2e/client/http1.ts";
import { freePorts } from "../../e2e/cluster/port.ts";
import { type EnvoyProcess, startEnvoy } from "../../e2e/envoy/process.ts";
import { type EchoUpstream, startEcho } from "../../e2e/upstream/echo.ts";
import { createEngine } from "../src/engine.ts";
import type { Change, Output } from "../src/world.ts";
import { backend, gateway, gatewayClass, OPTIONS, policy, put, route, service } from "./objects.ts";
import { resourcesAfter, staticBootstrap } from "./static-bootstrap.ts";

const open = { authentication: { mode: "Public", reason: "test" } };

/** What stands in the way of a call without any credential, by slot. */
const guards = {
  denylist: { status: 403, sections: { ...open, denylist: { entries: [{ cidr: "127.0.0.0/8" }] } } },
  allowlist: { status: 403, sections: { ...open, allowlist: { entries: [{ cidr: "192.0.2.0/24" }] } } },
  apiKey: { status: 401, sections: { authentication: { apiKey: { from: { headers: ["x-api-key"] } } } } },
  basic: { status: 401, sections: { authentication: { basic: {} } } },
  two: { status: 401, sections: { authentication: { apiKey: { from: { headers: ["x-api-key"] } }, basic: {} } } },
  broken: {
    status: 503,
    sections: { ...open, rateLimit: { limits: [{ name: "g", requests: 1, per: "1m", scope: "Global" }] } },
  },
  unprotected: { status: 403, sections: undefined },
} as const;
type Guard = keyof typeof guards;
const names = Object.keys(guards) as Guard[];

let envoy: EnvoyProcess;
let upstream: EchoUpstream;
/** Of each guard, the port whose only route has no hostname; and the port of all others. */
const catchAll = new Map<Guard, number>();
let shared = 0;

beforeAll(async () => {
  upstream = await startEcho({ name: "echo", address: "127.0.0.1" });
  const [first = 0, ...others] = await freePorts(names.length + 1);
  shared = first;
  names.forEach((name, at) => catchAll.set(name, others[at] ?? 0));
  const rules = [{ backendRefs: [backend("echo")] }];
  const target = (name: string): Record<string, string> => ({ kind: "HTTPRoute", name });
  const changes = names.flatMap((name): readonly Change[] => {
    const slug = name.toLowerCase();
    const { sections } = guards[name];
    return [
      route(`${slug}-exact`, {
        parentRefs: [{ name: "edge", sectionName: "shared" }],
        hostnames: [`${slug}.exact.test`],
        rules,
      }),
      route(`${slug}-wild`, {
        parentRefs: [{ name: "edge", sectionName: "shared" }],
        hostnames: [`*.${slug}.test`],
        rules,
      }),
      route(`${slug}-all`, { parentRefs: [{ name: "edge", sectionName: slug }], rules }),
      ...(sections === undefined
        ? []
        : [
            policy(
              slug,
              ["exact", "wild", "all"].map((kind) => target(`${slug}-${kind}`)),
              sections,
            ),
          ]),
    ];
  });
  const engine = createEngine({ ...OPTIONS, requirePolicy: true });
  const output: Output = engine.apply(
    [
      gatewayClass,
      gateway("edge", [
        { name: "shared", port: shared, protocol: "HTTP" },
        ...names.map((name) => ({ name: name.toLowerCase(), port: catchAll.get(name), protocol: "HTTP" })),
      ]),
      ...service("echo", { address: "127.0.0.1", port: upstream.port }),
      put("ApiConsumer", "erp", {
        spec: {
          apiKeys: [{ name: "k1", secretRef: { name: "erp", key: "key" } }],
          basic: { secretRef: { name: "erp", key: "key" } },
        },
      }),
      put("Secret", "erp", { data: { key: Buffer.from("k-1").toString("base64") } }),
      ...changes,
    ],
    Date.now(),
  );
  expect(output.faults).toEqual([]);
  envoy = await startEnvoy({ bootstrap: staticBootstrap(resourcesAfter([output], "shop/edge")), logLevel: "warning" });
});

afterAll(async () => {
  await envoy?.stop();
  await upstream?.stop();
});

const forms: readonly (readonly [string, (host: string) => string])[] = [
  ["as it is", (host) => host],
  ["in capitals", (host) => host.toUpperCase()],
  ["in mixed case", (host) => `${host.slice(0, 1).toUpperCase()}${host.slice(1)}`],
  ["with a trailing dot", (host) => `${host}.`],
  ["with a port", (host) => `${host}:8080`],
  ["in capitals with dot and port", (host) => `${host.toUpperCase()}.:80`],
];

/** What a client might hope to be believed. */
const forged: readonly (readonly [string, string])[] = [
  ["x-gatewarden-auth", "nothing"],
  ["x-gatewarden-consumer", "shop/erp"],
  ["X-Gatewarden-Scope", "http-1|other"],
  ["x-forwarded-for", "192.0.2.1"],
  ["x-envoy-original-path", "/"],
  ["x-envoy-internal", "true"],
];

describe.each(names)("%s", (name) => {
  test.each(forms)("holds for a host %s", async (_, form) => {
    const { status } = guards[name];
    const slug = name.toLowerCase();
    const places = [
      [shared, `${slug}.exact.test`],
      [shared, `x.${slug}.test`],
      [shared, `y.x.${slug}.test`],
      [catchAll.get(name) ?? 0, "whatever.test"],
      [catchAll.get(name) ?? 0, "single"],
    ] as const;
    for (const [port, host] of places) {
      for (const headers of [[], forged]) {
        const answer = await send({ address: "127.0.0.1", port }, { host: form(host), path: "/", headers });
        expect([form(host), headers.length, answer.status]).toEqual([form(host), headers.length, status]);
      }
    }
  });
});

test("nothing of it reached the upstream, and a key opens every form", async () => {
  expect(upstream.received()).toEqual([]);
  for (const [, form] of forms) {
    const answer = await send(
      { address: "127.0.0.1", port: shared },
      { host: form("x.apikey.test"), path: "/", headers: [["x-api-key", "k-1"]] },
    );
    expect([form("x.apikey.test"), answer.status]).toEqual([form("x.apikey.test"), 200]);
  }
});
