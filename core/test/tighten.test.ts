/** What an Override makes of a nearer section, section by section (api.md "Composition" 4); authentication has a file of its own. */
import { describe, expect, it } from "@jest/globals";
import { createAuthority } from "../../e2e/cluster/pki.ts";
import { slices } from "../src/slices.ts";
import type { RoutePiece, SectionKey, Tightened } from "../src/slice.ts";
import { atOf, lookupOf, routeOf, sourceOf, type World } from "./section.ts";

const CA = createAuthority("partner").certificate;
const world: World = {
  values: { "ConfigMap/infra/ca/ca.crt": CA, "ConfigMap/infra/other/ca.crt": createAuthority("other").certificate },
};

function sliceOf(section: SectionKey): (typeof slices)[number] {
  const slice = slices.find(({ key }) => key === section);
  if (slice === undefined) throw new Error(section);
  return slice;
}

/** The model of a section of policy `infra/NAME`. */
function modelOf(section: SectionKey, spec: unknown, name: string): unknown {
  const slice = sliceOf(section);
  const parsed = slice.schema().parse(spec);
  const resolved = slice.resolve(parsed, atOf(sourceOf(section, "Gateway", name, "infra")), lookupOf(world));
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.problems));
  return resolved.model;
}

function tightened(section: SectionKey, floor: unknown, near: unknown): Tightened<unknown> {
  const made = sliceOf(section).tighten?.(modelOf(section, floor, "floor"), modelOf(section, near, "near"));
  if (made === undefined) throw new Error(`${section} does not tighten`);
  return made;
}

const pieceOf = (section: SectionKey, model: unknown): RoutePiece =>
  sliceOf(section).route?.(model, routeOf(sourceOf(section))) ?? {};

describe("lists", () => {
  const entries = (...cidrs: readonly string[]): unknown => ({ entries: cidrs.map((cidr) => ({ cidr })) });

  it("allowlist: the address must be in both, and each list refuses in its own name", () => {
    const { model, overridden } = tightened("allowlist", entries("10.0.0.0/8"), entries("10.1.0.0/16", "192.0.2.0/24"));
    expect(overridden).toBeUndefined();
    const { slots, metadata } = pieceOf("allowlist", model);
    expect(slots?.allowlist).toMatchObject({
      rbac: {
        rules: {
          action: "DENY",
          policies: {
            "infra/floor#allowlist": {
              principals: [{ not_id: { or_ids: { ids: [{ remote_ip: { address_prefix: "10.0.0.0" } }] } } }],
            },
            "infra/near#allowlist": { principals: [{ not_id: { or_ids: { ids: [{}, {}] } } }] },
          },
        },
      },
    });
    expect(metadata).toEqual({ allowlist: "infra/floor#allowlist, infra/near#allowlist" });
  });

  it("denylist: the addresses of both are refused, of both the floor's name, unless its entry has ended", () => {
    const { model } = tightened("denylist", entries("192.0.2.0/24"), entries("192.0.2.0/24", "198.51.100.0/24"));
    expect(model).toMatchObject({
      ranges: [
        { cidr: "192.0.2.0/24", policy: "infra/floor#denylist" },
        { cidr: "198.51.100.0/24", policy: "infra/near#denylist" },
      ],
    });
    const ended = { entries: [{ cidr: "192.0.2.0/24", expiresAt: "2020-01-01T00:00:00Z" }] };
    expect(tightened("denylist", ended, entries("192.0.2.0/24")).model).toMatchObject({
      ranges: [{ live: false }, { live: true, policy: "infra/near#denylist" }],
    });
  });
});

describe("rateLimit", () => {
  const limit = (requests: number, more: object = {}): object => ({ name: "each", requests, per: "1m", ...more });
  const left = (floor: readonly object[], near: readonly object[]): readonly string[] => {
    const { model } = tightened("rateLimit", { limits: floor }, { limits: near });
    const { limits } = model as { readonly limits: readonly { readonly id: string; readonly requests: number }[] };
    return limits.map(({ id, requests }) => `${id} ${String(requests)}`);
  };

  it("counts every limit of both", () => {
    expect(left([limit(100)], [limit(5, { name: "own" })])).toEqual(["infra/floor#each 100", "infra/near#own 5"]);
  });

  it("keeps the smaller of the same name, and the Override's always: it counts elsewhere", () => {
    expect(left([limit(100)], [limit(1_000)])).toEqual(["infra/floor#each 100"]);
    expect(left([limit(100)], [limit(100)])).toEqual(["infra/floor#each 100"]);
    expect(left([limit(100)], [limit(50)])).toEqual(["infra/floor#each 100", "infra/near#each 50"]);
    expect(left([limit(100)], [limit(50, { burst: 500 })])).toHaveLength(2);
  });

  it("takes limits of the same name for the same only where they count the same calls of the same callers", () => {
    for (const more of [{ match: { paths: ["/never"] } }, { by: [{ type: "ClientIP" }] }, { scope: "PerGateway" }])
      expect(left([limit(100)], [limit(1_000, more)])).toHaveLength(2);
  });

  it("says which limit does not hold, and takes the Override's headers", () => {
    const { model, overridden, partly } = tightened(
      "rateLimit",
      { limits: [limit(100)], headers: true },
      { limits: [limit(1_000), limit(5, { name: "own" })], headers: false },
    );
    expect(model).toMatchObject({ headers: true });
    expect(overridden).toMatchObject({ reason: "Overridden", message: "its limit each is smaller" });
    expect(partly).toBe(true);
    expect(tightened("rateLimit", { limits: [limit(1)] }, { limits: [limit(2)] }).partly).toBeUndefined();
  });
});

describe("mtls", () => {
  const caRefs = (name = "ca"): object => ({ caRefs: [{ kind: "ConfigMap", name, key: "ca.crt" }] });
  const identities = (value: string): object => ({ identities: [{ type: "Prefix", san: "URI", value }] });
  const client = (mode: string, more: object = {}): unknown => ({
    client: mode === "Off" ? { mode } : { mode, ...caRefs(), ...more },
  });
  const order = ["Off", "Optional", "Strict"];

  it.each(order.flatMap((floor) => order.map((near) => [floor, near] as const)))(
    "of %s and %s the stricter",
    (floor, near) => {
      const { model, overridden } = tightened("mtls", client(floor), client(near));
      const stricter = order[Math.max(order.indexOf(floor), order.indexOf(near))];
      expect(model).toMatchObject({ client: { mode: stricter } });
      expect(overridden === undefined).toBe(order.indexOf(near) >= order.indexOf(floor));
    },
  );

  it("asks for identities of both", () => {
    const { model } = tightened(
      "mtls",
      client("Strict", identities("spiffe://a/")),
      client("Strict", identities("spiffe://b/")),
    );
    expect(pieceOf("mtls", model).slots?.cert).toMatchObject({
      rbac: {
        rules: {
          policies: {
            "infra/floor#mtls": { principals: [{ not_id: {} }] },
            "infra/near#mtls": { principals: [{ not_id: {} }] },
          },
        },
      },
    });
  });

  it("trusts the Override's CAs", () => {
    const { model, overridden, partly } = tightened("mtls", client("Optional"), client("Strict", caRefs("other")));
    expect(model).toMatchObject({ client: { mode: "Strict", trustedCA: CA, source: { name: "floor" } } });
    expect(overridden?.message).toBe("its CAs are trusted");
    expect(partly).toBe(true);
  });

  it("takes the Override's backend, and leaves what it does not write", () => {
    const { model, overridden, partly } = tightened(
      "mtls",
      { backend: { mode: "Simple" } },
      { ...(client("Strict") as object), backend: { mode: "Off" } },
    );
    expect(model).toMatchObject({ client: { mode: "Strict" }, backend: { mode: "Simple" } });
    expect(overridden?.message).toMatch(/how calls reach the Service/);
    expect(partly).toBe(true);
  });
});

describe("logging", () => {
  it("records the union of fields and headers, the wider calls, the higher sampling, into the Override's sinks", () => {
    const stdout = { name: "main", type: "Stdout" };
    const { model, overridden, partly } = tightened(
      "logging",
      { calls: "Errors", sampling: 50, headers: ["x-a"], fields: { team: "infra" }, sinks: [stdout] },
      {
        calls: "Denied",
        sampling: 20,
        headers: ["X-A", "x-b"],
        fields: { team: "shop", app: "orders" },
        sinks: [{ ...stdout, name: "own" }],
      },
    );
    expect(model).toEqual({
      calls: "Errors",
      sampling: 50,
      headers: ["x-a", "x-b"],
      fields: { team: "infra", app: "orders" },
      sinks: [stdout],
    });
    expect(overridden?.message).toBe("calls is Errors, sampling is 50, field team is infra, its sinks are used");
    expect(partly).toBe(true);
    expect(tightened("logging", { calls: "Denied" }, { calls: "All" }).overridden).toBeUndefined();
  });
});

describe("listener settings", () => {
  it("transport: the newer version, the Override's certificate where it has one", () => {
    const certificate = (name: string): object => ({ certificate: { issuerRef: { kind: "ClusterIssuer", name } } });
    const older = tightened("transport", { minTLSVersion: "1.3" }, { minTLSVersion: "1.2", ...certificate("own") });
    expect(older.model).toMatchObject({ minTLSVersion: "1.3", certificate: { issuerRef: { name: "own" } } });
    expect(older).toMatchObject({ overridden: { message: "minTLSVersion is 1.3" }, partly: true });
    const newer = tightened("transport", certificate("floor"), { minTLSVersion: "1.3" });
    expect(newer).toMatchObject({ model: { minTLSVersion: "1.3", certificate: { issuerRef: { name: "floor" } } } });
    expect(newer.overridden).toBeUndefined();
    const other = tightened("transport", certificate("floor"), certificate("own"));
    expect(other).toMatchObject({ model: { certificate: { issuerRef: { name: "floor" } } }, overridden: {} });
    expect(other.partly).toBeUndefined();
  });

  it("clientIP: the Override's value", () => {
    expect(tightened("clientIP", { trustedHops: 0 }, { trustedHops: 2 })).toMatchObject({
      model: { trustedHops: 0 },
      overridden: { reason: "Overridden" },
    });
    expect(tightened("clientIP", { trustedHops: 1 }, { trustedHops: 1 }).overridden).toBeUndefined();
  });
});
