import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { readManifests, type Manifests } from "../src/offline/manifests.ts";

const SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n";

describe("manifests", () => {
  let folder: string;
  const write = (name: string, text: string): string => {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
    return file;
  };
  const read = async (...paths: readonly string[]): Promise<Manifests> => {
    const result = await readManifests(paths.length === 0 ? [folder] : paths);
    if (!result.ok) throw new Error(result.message);
    return result.value;
  };
  const keys = ({ objects }: Manifests): readonly string[] => [...objects.keys()].sort();

  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test("are found in files and folders, in streams, lists and JSON", async () => {
    write(
      "a.yaml",
      `${SERVICE}---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: x}}\n`,
    );
    write(
      "deep/er/b.json",
      JSON.stringify({
        apiVersion: "gateway.networking.k8s.io/v1",
        kind: "HTTPRoute",
        metadata: { name: "r", namespace: "x" },
      }),
    );
    write("README.md", "not: read");
    expect(keys(await read())).toEqual([
      "ConfigMap/x/c",
      "HTTPRoute/x/r",
      "Namespace//default",
      "Namespace//x",
      "Service/default/a",
    ]);
  });

  test("are completed as the API server would", async () => {
    write("a.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: YQ==}\nstringData: {b: b}\n");
    write("b.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {team: a}}\n");
    const { objects } = await read();
    const secret = objects.get("Secret/default/s")?.object;
    expect(secret).toMatchObject({ data: { a: "YQ==", b: "Yg==" }, metadata: { namespace: "default", generation: 1 } });
    expect(secret).not.toHaveProperty("stringData");
    expect(objects.get("Namespace//default")?.object.metadata.labels).toEqual({
      team: "a",
      "kubernetes.io/metadata.name": "default",
    });
  });

  test("have a version that follows their content and an identity that does not", async () => {
    const file = write("a.yaml", SERVICE);
    const before = (await read()).objects.get("Service/default/a")?.object.metadata;
    expect((await read()).objects.get("Service/default/a")?.object.metadata).toEqual(before);
    writeFileSync(file, `${SERVICE}spec: {ports: [{port: 1}]}\n`);
    const after = (await read()).objects.get("Service/default/a")?.object.metadata;
    expect(after?.uid).toBe(before?.uid);
    expect(after?.resourceVersion).not.toBe(before?.resourceVersion);
  });

  test("say what is not read and what is assumed", async () => {
    write(
      "a.yaml",
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec: {gatewayClassName: c}\n",
    );
    const manifests = await read();
    expect(manifests.notes).toEqual([
      "Deployment d (apps/v1) is not read",
      "GatewayClass c is not given and taken for ours",
    ]);
    expect(keys(manifests)).toContain("GatewayClass//c");
  });

  test("do not take another group's kind for ours", async () => {
    write("a.yaml", "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g}\n");
    expect((await read()).objects.size).toBe(0);
  });

  test.each([
    ["broken YAML", "a: [", /a\.yaml:1: /],
    ["a text", "just text", /a document is not an object/],
    ["no kind", "metadata: {name: a}", /has no apiVersion or kind/],
    ["no name", "apiVersion: v1\nkind: Service\nmetadata: {}", /a Service has no metadata.name/],
    ["the same object twice", `${SERVICE}---\n${SERVICE}`, /Service\/default\/a stands twice/],
    [
      "a billion laughs",
      "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]",
      /a\.yaml: .*alias/i,
    ],
  ])("are refused as a whole with %s", async (_what, text, message) => {
    write("a.yaml", text);
    write("b.yaml", SERVICE.replace("a}", "b}"));
    expect(await readManifests([folder])).toEqual({ ok: false, message: expect.stringMatching(message) });
  });

  test.each([
    ["metadata: {name: off}", 3, "metadata.name", "off", "false"],
    ["metadata: {name: s}\nspec:\n  selector:\n    tier: Yes", 6, "spec.selector.tier", "Yes", "true"],
    ["metadata: {name: s, labels: {on: x}}", 3, "metadata.labels.on", "on", "true"],
    ["metadata:\n  name: s\n  labels:\n    0123: x", 6, "metadata.labels.123", "0123", "83"],
    ["metadata: {name: s}\nspec:\n  ports:\n  - port: 80\n  - port: 0120", 7, "spec.ports[1].port", "0120", "80"],
    ["metadata: {name: s}\nspec:\n  ports: [{port: 8_080}]", 5, "spec.ports[0].port", "8_080", "8080"],
  ])("are refused with what kubectl reads otherwise: %s", async (text, line, field, source, kubectl) => {
    write("a.yaml", `apiVersion: v1\nkind: Service\n${text}\n`);
    expect(await readManifests([folder])).toEqual({
      ok: false,
      message: `${folder}/a.yaml:${line}: Service ${/name: (\w+)/.exec(text)?.[1] ?? ""}: ${field}: kubectl reads ${source} without quotes as ${kubectl} (write "${source}" where the text is meant, ${kubectl} where that is)`,
    });
  });

  test("are taken with the same in quotes, and where it is of another kind or the same to kubectl", async () => {
    const off = "mtls: {client: {mode: Off}, backend: {mode: Off}}"; // false is taken for it
    const labels = `a: "off", b: 'yes', "on": x, c: !!str no, d: 1:30, e: 2026-01-01, f: "0123"`;
    write(
      "a.yaml",
      `apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {${labels}}}\nspec: {ports: [{port: 80, targetPort: 0x50}]}\n` +
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: on}\nspec: {mode: 0644}\n" +
        `---\napiVersion: gatewarden.io/v1alpha1\nkind: ApiPolicy\nmetadata: {name: a}\nspec: {targetRefs: [], ${off}}\n`,
    );
    expect((await read()).objects.get("Service/default/a")?.object).toMatchObject({
      metadata: { labels: { a: "off", b: "yes", on: "x", c: "no", d: "1:30", e: "2026-01-01", f: "0123" } },
      spec: { ports: [{ targetPort: 80 }] },
    });
  });

  test("are refused by List with the item's line, and merge keys are followed as kubectl follows them", async () => {
    const list = (value: string): string =>
      `apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: &meta {name: a, labels: {tier: ${value}}}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    <<: *meta\n    name: b\n`;
    const file = write("a.yaml", list("On"));
    expect(await readManifests([file])).toMatchObject({
      ok: false,
      message: expect.stringContaining("a.yaml:6: Service a: metadata.labels.tier: kubectl reads On"),
    });
    write("a.yaml", list("one"));
    expect((await read()).objects.get("ConfigMap/default/b")?.object.metadata.labels).toEqual({ tier: "one" });
  });

  test("are refused when there is no such file", async () => {
    expect(await readManifests([path.join(folder, "none.yaml")])).toMatchObject({ ok: false });
  });
});
