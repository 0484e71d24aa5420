import { expect, test } from "@jest/globals";
import type { KubeObject } from "@gatewarden/core/world.ts";
import { createServiceDirectory } from "../src/kube/services.ts";

const service = (ports: readonly object[]): KubeObject => ({
  metadata: { name: "sso", namespace: "id" },
  spec: { ports },
});
const slice = (name: string, of: string, addresses: readonly string[], ready?: boolean): KubeObject => ({
  metadata: { name, namespace: "id", labels: { "kubernetes.io/service-name": of } },
  ports: [{ name: "https", port: 8443 }, { port: 9 }],
  endpoints: addresses.map((address) => ({ addresses: [address], conditions: ready === undefined ? {} : { ready } })),
});

test("a Service's port is found at its ready endpoints", () => {
  const directory = createServiceDirectory(() => 0);
  const note = (kind: "Service" | "EndpointSlice", name: string, object: KubeObject | undefined): void =>
    directory.note({ key: { kind, namespace: "id", name }, object });
  const find = (port = 443): string => {
    const found = directory.endpoint("sso.id.svc", port);
    return found === undefined ? "" : `${found.host}:${found.port}`;
  };

  expect(find()).toBe("");
  note("Service", "sso", service([{ name: "https", port: 443 }]));
  expect(find()).toBe("");
  note("EndpointSlice", "s1", slice("s1", "sso", ["10.0.0.1"], false));
  expect(find()).toBe("");
  note("EndpointSlice", "s2", slice("s2", "sso", ["10.0.0.2"]));
  expect(find()).toBe("10.0.0.2:8443");
  expect(find(80)).toBe("");
  expect(directory.endpoint("sso.id.svc.cluster.local", 443)).toEqual({ host: "10.0.0.2", port: 8443 });
  expect(directory.endpoint("sso.other.svc", 443)).toBeUndefined();
  expect(directory.endpoint("10.0.0.2", 443)).toBeUndefined();
  note("EndpointSlice", "s2", slice("s2", "other", ["10.0.0.2"]));
  expect(find()).toBe("");
  note("EndpointSlice", "s1", slice("s1", "sso", ["10.0.0.1"], true));
  expect(find()).toBe("10.0.0.1:8443");
  note("EndpointSlice", "s1", undefined);
  expect(find()).toBe("");
  note("EndpointSlice", "s1", slice("s1", "sso", ["10.0.0.1"]));
  note("Service", "sso", undefined);
  expect(find()).toBe("");
});

test("an unnamed port goes to the unnamed one of the slice", () => {
  const directory = createServiceDirectory(() => 0);
  directory.note({ key: { kind: "Service", namespace: "id", name: "sso" }, object: service([{ port: 443 }]) });
  directory.note({
    key: { kind: "EndpointSlice", namespace: "id", name: "s1" },
    object: slice("s1", "sso", ["10.0.0.1"]),
  });
  expect(directory.endpoint("sso.id.svc", 443)).toEqual({ host: "10.0.0.1", port: 9 });
});
