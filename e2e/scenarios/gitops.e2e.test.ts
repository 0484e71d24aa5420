/** Health as Argo CD and Flux see it: their interpreters, our checks, objects as they stand in a real cluster. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { parse, parseAllDocuments } from "yaml";
import { runCommand } from "../cluster/child-process.ts";
import { untilEstablished } from "../cluster/established.ts";
import { gitOpsCommand, gitOpsCrds } from "../cluster/gitops.ts";
import type { KubeObject } from "../harness/api.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import { REPOSITORY } from "../harness/installation.ts";
import type { Tenant } from "../harness/tenant.ts";

const EXAMPLES = join(REPOSITORY, "examples", "gitops");
const read = (...file: readonly string[]): string => readFileSync(join(EXAMPLES, ...file), "utf8");

interface Health {
  readonly status: string;
  readonly message: string;
}

interface Expressions {
  readonly kind: string;
  readonly current: string;
  readonly failed: string;
}

const scripts = (parse(read("argocd", "argocd-cm.yaml")) as { readonly data: Readonly<Record<string, string>> }).data;
const expressions = (
  parse(read("flux", "kustomization.yaml")) as { readonly spec: { readonly healthCheckExprs: readonly Expressions[] } }
).spec.healthCheckExprs;

const ROUTE = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders}
spec: {parentRefs: [{name: edge}], hostnames: [gitops.test], rules: [{backendRefs: [{name: orders, port: 80}]}]}
`;
const policy = (spec: string): string => `
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: orders}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders}]
  ${spec}
`;
const SOUND = policy("authentication: {apiKey: {from: {headers: [x-api-key]}}}");
const CONSUMER = `
apiVersion: gatewarden.io/v1alpha1
kind: ApiConsumer
metadata: {name: erp}
spec: {apiKeys: [{name: k1, secretRef: {name: erp-k1, key: api-key}}]}
`;

describe("Argo CD and Flux", () => {
  let harness: Harness;
  let shop: Tenant;
  let program: string;
  beforeAll(async () => {
    program = await gitOpsCommand();
    harness = await startHarness();
    shop = await harness.tenant("shop");
    await shop.upstream("orders");
    await shop.secret("erp-k1", { "api-key": "canary-gitops-key" });
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const judge = async <T>(interpreter: "lua" | "cel", text: string, object: object): Promise<T> => {
    const { stdout } = await runCommand(program, [interpreter, text], { stdin: JSON.stringify(object) });
    return JSON.parse(stdout) as T;
  };
  const argo = (object: KubeObject): Promise<Health> =>
    judge("lua", scripts[`resource.customizations.health.gatewarden.io_${object.kind}`] ?? "", object);
  const flux = async (object: KubeObject): Promise<string> => {
    const found = expressions.find(({ kind }) => kind === object.kind);
    if (found === undefined) throw new Error(`no expressions for ${object.kind}`);
    // A field that is not there yet answers null, and Flux waits.
    if ((await judge<boolean | null>("cel", found.failed, object)) === true) return "failed";
    return (await judge<boolean | null>("cel", found.current, object)) === true ? "current" : "in progress";
  };
  const object = async (kind: string, name: string): Promise<KubeObject> => {
    const found = await shop.get(kind, name);
    if (found === undefined) throw new Error(`no ${kind} ${name}`);
    return found;
  };

  it("an object that nobody has looked at is in progress", async () => {
    const fresh = { ...(parse(SOUND) as KubeObject), metadata: { name: "orders", generation: 1 } };
    expect(await argo(fresh)).toMatchObject({ status: "Progressing" });
    expect(await flux(fresh)).toBe("in progress");
  });

  it("a policy without its Gateway, then without a proxy, is in progress", async () => {
    await shop.apply(ROUTE + "---" + SOUND);
    await shop.waitFor("ApiPolicy", "orders", "Ready", { status: "False", reason: "NotAttached" });
    expect(await argo(await object("ApiPolicy", "orders"))).toMatchObject({ status: "Progressing" });
    expect(await flux(await object("ApiPolicy", "orders"))).toBe("in progress");
  });

  it("a policy and a consumer that every proxy obeys are healthy, until their next generation", async () => {
    await shop.gateway();
    await shop.enforce(SOUND + "---" + CONSUMER);
    await shop.waitFor("ApiConsumer", "erp", "Ready", { status: "True" });
    for (const [kind, name] of [
      ["ApiPolicy", "orders"],
      ["ApiConsumer", "erp"],
    ] as const) {
      const current = await object(kind, name);
      expect(await argo(current)).toMatchObject({ status: "Healthy", message: expect.stringContaining("Programmed") });
      expect(await flux(current)).toBe("current");
      const next = {
        ...current,
        metadata: { ...current.metadata, generation: (current.metadata.generation ?? 0) + 1 },
      };
      expect(await argo(next)).toMatchObject({ status: "Progressing" });
      expect(await flux(next)).toBe("in progress");
    }
  });

  it("a policy that somebody has to mend is degraded, with what is wrong", async () => {
    await shop.apply(policy("authentication: {mood: Required}"));
    await shop.waitFor("ApiPolicy", "orders", "Ready", { status: "False", reason: "Invalid" });
    const broken = await object("ApiPolicy", "orders");
    expect(await argo(broken)).toMatchObject({
      status: "Degraded",
      message: expect.stringContaining("unknown field spec.authentication.mood"),
    });
    expect(await flux(broken)).toBe("failed");
  });

  it("the operator adds nothing to what was applied: no drift", async () => {
    await shop.enforce(SOUND);
    const { spec, metadata } = (await object("ApiPolicy", "orders")) as KubeObject & { readonly spec: unknown };
    expect(spec).toEqual((parse(SOUND) as { readonly spec: unknown }).spec);
    const { labels, finalizers } = metadata as { readonly labels?: unknown; readonly finalizers?: unknown };
    expect({ labels, finalizers }).toEqual({ labels: undefined, finalizers: undefined });
  });

  it("the API server accepts every object of examples/gitops, with the tools' own CRDs", async () => {
    await harness.cluster.apply(await gitOpsCrds());
    await untilEstablished(harness.cluster);
    for (const namespace of ["argocd", "flux-system", "shop"])
      await harness.cluster.apply(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"${namespace}"}}`);
    const files = readdirSync(EXAMPLES, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".yaml"));
    expect(files.length).toBeGreaterThan(6);
    for (const file of files) {
      const given = parseAllDocuments(read(file)).map((document) => document.toJS() as KubeObject);
      const output = await harness.cluster.kubectl([
        ...["apply", "--server-side", "--dry-run=server", "--validate=strict", "--output=json"],
        ...["-f", join(EXAMPLES, file)],
      ]);
      const stored = JSON.parse(output) as KubeObject & { readonly items?: readonly KubeObject[] };
      for (const [index, answered] of (stored.items ?? [stored]).entries())
        if (answered.kind.startsWith("Api")) expect(answered["spec"]).toEqual(given[index]?.["spec"]);
    }
  });
});
