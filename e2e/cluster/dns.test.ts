import { describe, expect, it } from "@jest/globals";
import { answer, type Lookup } from "./dns.ts";

const SERVICES: Readonly<Record<string, readonly string[]>> = {
  "orders.shop": ["10.96.1.2"],
  "peers.shop": ["10.97.0.3", "10.97.0.4"],
};
const lookup: Lookup = (name, namespace) => Promise.resolve(SERVICES[`${name}.${namespace}`]);

function question(name: string, type = 1): Buffer {
  const labels = name.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  const head = Buffer.from([0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([head, ...labels, Buffer.from([0, 0, type, 0, 1])]);
}

/** Code and addresses of a reply. */
async function ask(name: string, type = 1, find: Lookup = lookup): Promise<readonly [number, ...string[]]> {
  const reply = await answer(question(name, type), find);
  if (reply === undefined) throw new Error("no reply");
  expect(reply.readUInt16BE(0)).toBe(0x1234);
  const count = reply.readUInt16BE(6);
  const records = reply.subarray(reply.length - 16 * count);
  const addresses = Array.from({ length: count }, (_, index) =>
    [...records.subarray(16 * index + 12, 16 * index + 16)].join("."),
  );
  return [reply.readUInt8(3) & 0x0f, ...addresses];
}

describe("cluster DNS", () => {
  it("answers with the address of a Service, whatever the capitals", async () => {
    expect(await ask("orders.shop.svc.cluster.local")).toEqual([0, "10.96.1.2"]);
    expect(await ask("Orders.Shop.svc.Cluster.local")).toEqual([0, "10.96.1.2"]);
  });

  it("answers with every endpoint of a headless one", async () => {
    expect(await ask("peers.shop.svc.cluster.local")).toEqual([0, "10.97.0.3", "10.97.0.4"]);
  });

  it("knows no IPv6 address, and says so without denying the name", async () => {
    expect(await ask("orders.shop.svc.cluster.local", 28)).toEqual([0]);
  });

  it.each(["none.shop.svc.cluster.local", "orders.shop.svc", "example.com", "a.orders.shop.svc.cluster.local"])(
    "denies %s",
    async (name) => {
      expect(await ask(name)).toEqual([3]);
    },
  );

  it("says that it failed when the API server does not answer", async () => {
    expect(await ask("orders.shop.svc.cluster.local", 1, () => Promise.reject(new Error("away")))).toEqual([2]);
  });

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["half a question", question("orders.shop.svc.cluster.local").subarray(0, 20)],
    ["a reply", Buffer.concat([Buffer.from([0, 1, 0x80]), question("a.b").subarray(3)])],
  ])("does not answer %s", async (_, message) => {
    expect(await answer(message, lookup)).toBeUndefined();
  });
});
