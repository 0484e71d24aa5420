import { existsSync } from "node:fs";
import { afterEach, describe, expect, it } from "@jest/globals";
import { eventually } from "../cluster/condition.ts";
import { freePorts } from "../cluster/port.ts";
import { type EnvoyProcess, startEnvoy, validate } from "./process.ts";

const MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";

function bootstrapOn(port: number, direct: unknown = { status: 200, body: { inline_string: "hello" } }) {
  return {
    static_resources: {
      listeners: [
        {
          name: "plain",
          address: { socket_address: { address: "127.0.0.1", port_value: port } },
          filter_chains: [
            {
              filters: [
                {
                  name: "hcm",
                  typed_config: {
                    "@type": MANAGER,
                    stat_prefix: "plain",
                    http_filters: [{ name: "router", typed_config: { "@type": ROUTER } }],
                    route_config: {
                      name: "inline",
                      virtual_hosts: [
                        { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, direct_response: direct }] },
                      ],
                    },
                  },
                },
              ],
            },
          ],
        },
      ],
    },
  };
}

describe("a real Envoy", () => {
  let envoy: EnvoyProcess | undefined;
  afterEach(() => envoy?.stop());

  it("serves what its bootstrap says, answers over its admin socket and is gone after stop", async () => {
    const [port = 0] = await freePorts(1);
    envoy = await startEnvoy({ bootstrap: bootstrapOn(port) });
    const answer = await fetch(`http://127.0.0.1:${String(port)}/`);
    expect(await answer.text()).toBe("hello");
    await eventually(
      "the request is counted",
      async () => (await envoy?.admin.stat("http.plain.downstream_rq_2xx")) === 1,
    );
    const named = await envoy.admin.stats("http.plain.");
    expect([...named.keys()].every((name) => name.startsWith("http.plain."))).toBe(true);
    expect(await envoy.admin.stat("no.such.counter")).toBe(0);
    expect(JSON.stringify(await envoy.admin.configDump("resource=static_listeners"))).toContain('"plain"');
    expect(envoy.log()).toContain("all dependencies initialized");
    await envoy.stop();
    expect(envoy.ending()).toBe("signal SIGKILL");
    expect(existsSync(envoy.directory)).toBe(false);
    await expect(fetch(`http://127.0.0.1:${String(port)}/`)).rejects.toThrow();
  });

  it("says why Envoy refused a bootstrap at its start", async () => {
    const [port = 0] = await freePorts(1);
    await expect(startEnvoy({ bootstrap: bootstrapOn(port, { status: 99 }) })).rejects.toThrow(/DirectResponse/);
  });

  it("validates without starting", async () => {
    const accepted = await validate(bootstrapOn(10_000));
    expect(accepted.message).toBe("");
    expect(accepted.ok).toBe(true);
    const refused = await validate(bootstrapOn(10_000, { status: 99 }));
    expect(refused.ok).toBe(false);
    expect(refused.message).toMatch(/Status.*value must be/);
  });
});
