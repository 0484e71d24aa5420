/** What GatewayClass, Gateway and HTTPRoute are told about themselves, and who may attach to what. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { createAuthority, issue } from "../cluster/pki.ts";
import { eventually } from "../cluster/condition.ts";
import type { Condition } from "../harness/condition.ts";
import type { KubeObject } from "../harness/api.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { answering, httpRoute, rule, untilAnswered } from "./routes-manifest.ts";

const OPEN = { "gatewarden.io/require-policy": "false" };
const CONTROLLER = "gatewarden.io/gateway-controller";
const GROUP = "gateway.networking.k8s.io";
const PORTS = {
  same: 8080,
  all: 8081,
  selected: 8082,
  nobody: 8083,
  clash: 8084,
  secure: 8443,
  lost: 8444,
  foreign: 8445,
  tcp: 9000,
};
const certificates = createAuthority("status");

interface GatewayStatus {
  readonly addresses?: readonly { readonly type: string; readonly value: string }[];
  readonly conditions?: readonly Condition[];
  readonly listeners?: readonly ListenerStatus[];
}
interface ListenerStatus {
  readonly name: string;
  readonly attachedRoutes: number;
  readonly supportedKinds: readonly object[];
  readonly conditions: readonly Condition[];
}
interface Parent {
  readonly parentRef: { readonly name: string; readonly sectionName?: string };
  readonly controllerName: string;
  readonly conditions: readonly Condition[];
}

const said = (conditions: readonly Condition[] = []): Readonly<Record<string, string>> =>
  Object.fromEntries(conditions.map(({ type, status, reason }) => [type, `${status} ${reason}`]));
const listener = (name: keyof typeof PORTS, from: object, more: object = {}): object => ({
  name,
  port: PORTS[name],
  protocol: "HTTP",
  allowedRoutes: { namespaces: from },
  ...more,
});

describe("the status of Gateways and routes", () => {
  let harness: Harness;
  let shop: Tenant;
  let partner: Tenant;
  let stranger: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    [shop, partner, stranger] = [
      await harness.tenant("owner"),
      await harness.tenant("partner"),
      await harness.tenant("stranger"),
    ];
    await harness.cluster.kubectl(["label", "namespace", partner.namespace, "team=partner"]);
    for (const tenant of [shop, partner, stranger]) await tenant.upstream("orders");
    const { certificate, privateKey } = issue(certificates, { commonName: "x", dnsNames: ["secure.test"] });
    for (const tenant of [shop, partner]) {
      await tenant.secret("pair", { "tls.crt": certificate, "tls.key": privateKey }, "kubernetes.io/tls");
    }
    const certified = (ref: object): object => ({
      protocol: "HTTPS",
      hostname: "secure.test",
      tls: { certificateRefs: [ref] },
    });
    const same = { from: "Same" };
    const listeners = [
      listener("same", same),
      listener("all", { from: "All" }),
      listener("selected", {
        from: "Selector",
        selector: { matchExpressions: [{ key: "team", operator: "In", values: ["partner"] }] },
      }),
      listener("nobody", same, { allowedRoutes: { namespaces: same, kinds: [{ kind: "GRPCRoute" }] } }),
      listener("secure", same, certified({ name: "pair" })),
      listener("lost", same, certified({ name: "missing" })),
      listener("foreign", same, certified({ name: "pair", namespace: partner.namespace })),
      listener("tcp", same, { protocol: "example.test/TCP" }),
    ];
    edge = await shop.gateway({ annotations: OPEN, listeners });
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const status = async (): Promise<GatewayStatus> => {
    const gateway = await shop.get("Gateway", "edge");
    return gateway?.status ?? {};
  };
  const listenerStatus = async (name: string): Promise<ListenerStatus | undefined> =>
    (await status()).listeners?.find((each) => each.name === name);
  const attached = (name: string, count: number): Promise<boolean> =>
    eventually(
      `${String(count)} routes at ${name}`,
      async () => (await listenerStatus(name))?.attachedRoutes === count,
    );
  const parentsOf = async (tenant: Tenant, name: string): Promise<readonly Parent[]> =>
    ((await tenant.get("HTTPRoute", name))?.status as { readonly parents?: readonly Parent[] } | undefined)?.parents ??
    [];
  const parent = (sectionName: string): object => ({ name: "edge", namespace: shop.namespace, sectionName });

  it("accepts its own GatewayClass and leaves others alone", async () => {
    const own = await harness.api.get({ kind: "GatewayClass", name: "gatewarden" });
    expect(said((own?.status as GatewayStatus).conditions)).toMatchObject({ Accepted: "True Accepted" });
    const foreign = {
      apiVersion: `${GROUP}/v1`,
      kind: "GatewayClass",
      metadata: { name: `class-${shop.namespace}` },
      spec: { controllerName: "example.test/other" },
    };
    await harness.api.apply(foreign);
    harness.atEnd(() => harness.api.remove({ kind: "GatewayClass", name: foreign.metadata.name }));
    await shop.apply(gatewayOf("foreign", foreign.metadata.name));
    await shop.apply(httpRoute("at-foreign", { parentRefs: [{ name: "foreign" }], rules: [rule("orders")] }));
    // What came later is served, so these were read.
    await shop.enforce(
      httpRoute("later", { hostnames: ["later.test"], parentRefs: [parent("same")], rules: [rule("orders")] }),
    );
    expect(await parentsOf(shop, "at-foreign")).toEqual([]);
    const untouched = (await shop.get("Gateway", "foreign"))?.status as GatewayStatus | undefined;
    expect((untouched?.conditions ?? []).map(({ reason }) => reason)).not.toContain("Accepted");
    await shop.remove("HTTPRoute", "later");
  });

  it("says of each listener what it is, and what is wrong with it", async () => {
    const { addresses, conditions } = await status();
    expect(addresses).toEqual([{ type: "IPAddress", value: edge.address }]);
    expect(said(conditions)).toMatchObject({ Accepted: "True ListenersNotValid", Programmed: "True Programmed" });
    const good = {
      Accepted: "True Accepted",
      Conflicted: "False NoConflicts",
      ResolvedRefs: "True ResolvedRefs",
      Programmed: "True Programmed",
    };
    for (const name of ["same", "all", "selected", "secure"]) {
      const own = await listenerStatus(name);
      expect([name, said(own?.conditions)]).toEqual([name, good]);
      expect(own?.supportedKinds).toEqual([{ group: GROUP, kind: "HTTPRoute" }]);
    }
    expect(said((await listenerStatus("lost"))?.conditions)).toMatchObject({
      ResolvedRefs: "False InvalidCertificateRef",
      Programmed: "False Invalid",
    });
    expect(said((await listenerStatus("foreign"))?.conditions)).toMatchObject({
      ResolvedRefs: "False RefNotPermitted",
      Programmed: "False Invalid",
    });
    expect(said((await listenerStatus("tcp"))?.conditions)).toMatchObject({
      Accepted: "False UnsupportedProtocol",
      Programmed: "False Invalid",
    });
    const nobody = await listenerStatus("nobody");
    expect(said(nobody?.conditions)).toMatchObject({ ResolvedRefs: "False InvalidRouteKinds" });
    expect(nobody?.supportedKinds).toEqual([]);
    for (const { observedGeneration } of (await status()).conditions ?? []) {
      expect(observedGeneration).toBe((await shop.get("Gateway", "edge"))?.metadata.generation);
    }
  });

  it("mends a listener when its certificate comes, or the right to read it, and closes it when that goes", async () => {
    const { certificate, privateKey } = issue(certificates, { commonName: "x", dnsNames: ["secure.test"] });
    const secure = (port: number) =>
      edge.target({ port, tls: { serverName: "secure.test", authority: certificates.certificate } });
    await shop.enforce(
      httpRoute("secured", { parentRefs: [parent("lost"), parent("foreign")], rules: [rule("orders")] }),
    );
    await shop.secret("missing", { "tls.crt": certificate, "tls.key": privateKey }, "kubernetes.io/tls");
    await untilAnswered(secure(PORTS.lost), { host: "secure.test" }, "orders");
    await eventually(
      "resolved",
      async () => said((await listenerStatus("lost"))?.conditions)["ResolvedRefs"] === "True ResolvedRefs",
    );
    const grant = {
      apiVersion: `${GROUP}/v1beta1`,
      kind: "ReferenceGrant",
      metadata: { name: "pair" },
      spec: {
        from: [{ group: GROUP, kind: "Gateway", namespace: shop.namespace }],
        to: [{ group: "", kind: "Secret", name: "pair" }],
      },
    };
    await partner.apply(grant);
    await untilAnswered(secure(PORTS.foreign), { host: "secure.test" }, "orders");
    await partner.remove("ReferenceGrant", "pair");
    await eventually(
      "not permitted",
      async () => said((await listenerStatus("foreign"))?.conditions)["ResolvedRefs"] === "False RefNotPermitted",
    );
    await eventually("no handshake", async () =>
      answering(secure(PORTS.foreign), { host: "secure.test" }).then(
        () => false,
        () => true,
      ),
    );
    await shop.remove("HTTPRoute", "secured");
  });

  it("attaches routes where the listener allows their namespace, and nowhere else", async () => {
    const tenants = { shop, partner, stranger };
    const allowed: Readonly<Record<string, readonly string[]>> = {
      same: ["shop"],
      all: ["shop", "partner", "stranger"],
      selected: ["partner"],
      nobody: [],
    };
    for (const [name, tenant] of Object.entries(tenants)) {
      const parentRefs = Object.keys(allowed).map(parent);
      await tenant.apply(httpRoute("visit", { hostnames: [`${name}.test`], parentRefs, rules: [rule("orders")] }));
      await eventually(
        `parents of ${name}`,
        async () => (await parentsOf(tenant, "visit")).length === parentRefs.length,
      );
      for (const { parentRef, controllerName, conditions } of await parentsOf(tenant, "visit")) {
        const section = parentRef.sectionName ?? "";
        const own = said(conditions);
        expect([name, section, own["Accepted"]]).toEqual([
          name,
          section,
          allowed[section]?.includes(name) === true ? "True Accepted" : "False NotAllowedByListeners",
        ]);
        expect(own["ResolvedRefs"]).toBe("True ResolvedRefs");
        expect(controllerName).toBe(CONTROLLER);
      }
    }
    for (const [section, names] of Object.entries(allowed)) {
      await attached(section, names.length);
      const target = edge.target({ port: PORTS[section as keyof typeof PORTS] });
      for (const name of Object.keys(tenants)) {
        await untilAnswered(target, { host: `${name}.test` }, names.includes(name) ? "orders" : 404);
      }
    }
    // The label goes, and with it the attachment; nobody touches the route.
    await harness.cluster.kubectl(["label", "namespace", partner.namespace, "team-"]);
    await untilAnswered(edge.target({ port: PORTS.selected }), { host: "partner.test" }, 404);
    await attached("selected", 0);
    for (const tenant of Object.values(tenants)) await tenant.remove("HTTPRoute", "visit");
    for (const section of ["same", "all"]) await attached(section, 0);
    await untilAnswered(edge.target({ port: PORTS.all }), { host: "stranger.test" }, 404);
  });

  it("says why a route does not attach, and mends it when the cause goes", async () => {
    const refusals = [
      [{ parentRefs: [parent("absent")] }, "NoMatchingParent", /absent/],
      [{ parentRefs: [{ name: "edge", port: 1234 }] }, "NoMatchingParent", /1234/],
      [{ parentRefs: [parent("secure")], hostnames: ["other.test"] }, "NoMatchingListenerHostname", /other\.test/],
    ] as const;
    for (const [number, [parts, reason, message]] of refusals.entries()) {
      const name = `refused-${String(number)}`;
      await shop.apply(httpRoute(name, { ...parts, rules: [rule("orders")] }));
      await shop.waitFor("HTTPRoute", name, "Accepted", { status: "False", reason, message });
      await shop.remove("HTTPRoute", name);
    }
    await stranger.apply(httpRoute("early", { parentRefs: [{ name: "late" }], rules: [rule("orders")] }));
    await stranger.gateway({ name: "late", annotations: OPEN });
    await stranger.waitFor("HTTPRoute", "early", "Accepted");
    await stranger.remove("Gateway", "late");
    await eventually("nothing of ours is left", async () =>
      (await parentsOf(stranger, "early")).every(({ controllerName }) => controllerName !== CONTROLLER),
    );
  });

  it("leaves the entries of other controllers alone, and takes its own out with the parentRef", async () => {
    const parentRefs = [parent("same"), parent("all")];
    const route = (refs: readonly object[]) =>
      httpRoute("shared", { hostnames: ["shared.test"], parentRefs: refs, rules: [rule("orders")] });
    await shop.enforce(route(parentRefs));
    const foreign = {
      parentRef: { group: GROUP, kind: "Gateway", name: "somebody-elses" },
      controllerName: "example.test/other",
      conditions: [
        {
          type: "Accepted",
          status: "True",
          reason: "Accepted",
          message: "",
          lastTransitionTime: "2026-01-01T00:00:00Z",
        },
      ],
    };
    const path = `/apis/${GROUP}/v1/namespaces/${shop.namespace}/httproutes/shared/status`;
    const ours = await parentsOf(shop, "shared");
    await harness.api.call("PATCH", path, { status: { parents: [...ours, foreign] } }, "application/merge-patch+json");
    await shop.apply(route([parent("same")]));
    await eventually("one parent of ours", async () => {
      const parents = await parentsOf(shop, "shared");
      return parents.filter(({ controllerName }) => controllerName === CONTROLLER).length === 1;
    });
    expect(await parentsOf(shop, "shared")).toContainEqual(foreign);
    await untilAnswered(edge.target({ port: PORTS.all }), { host: "shared.test" }, 404);
    await untilAnswered(edge.target({ port: PORTS.same }), { host: "shared.test" }, "orders");
    await shop.remove("HTTPRoute", "shared");
  });

  it("tells of listeners in conflict, and serves neither", async () => {
    const clash = (name: string, hostname: string, more: object = {}): object => ({
      name,
      port: PORTS.clash,
      protocol: "HTTP",
      hostname,
      ...more,
    });
    const handle = await shop.gateway({ name: "clash", annotations: OPEN, listeners: [clash("a", "a.test")] });
    await shop.enforce(httpRoute("clash", { parentRefs: [{ name: "clash" }], rules: [rule("orders")] }));
    await untilAnswered(handle.target({ port: PORTS.clash }), { host: "a.test" }, "orders");
    const gateway = await shop.get("Gateway", "clash");
    const spec = gateway?.["spec"] as object;
    const both = {
      name: "b",
      port: PORTS.clash,
      protocol: "HTTPS",
      hostname: "b.test",
      tls: { certificateRefs: [{ name: "pair" }] },
    };
    await shop.apply(gatewayOf("clash", "gatewarden", { ...spec, listeners: [clash("a", "a.test"), both] }));
    await eventually("conflict", async () => {
      const { listeners = [] } = (await shop.get("Gateway", "clash"))?.status as GatewayStatus;
      const all = listeners.map(({ conditions }) => said(conditions)["Conflicted"]);
      return all.length === 2 && all.every((text) => text === "True ProtocolConflict");
    });
    await shop.apply(gatewayOf("clash", "gatewarden", { ...spec, listeners: [clash("a", "a.test")] }));
    await untilAnswered(handle.target({ port: PORTS.clash }), { host: "a.test" }, "orders");
  });
});

function gatewayOf(name: string, gatewayClassName: string, spec: object = {}): KubeObject {
  const listeners = [{ name: "http", port: PORTS.same, protocol: "HTTP" }];
  const metadata = { name, annotations: OPEN };
  return { apiVersion: `${GROUP}/v1`, kind: "Gateway", metadata, spec: { listeners, ...spec, gatewayClassName } };
}
