/** The real Envoy accepts what every golden case of the slices puts out. */
import { tmpdir } from "node:os";
import { describe, expect, test } from "@jest/globals";
import { createAuthority, issue } from "../../../e2e/cluster/pki.ts";
import { validate } from "../../../e2e/envoy/process.ts";
import { goldenBootstraps, goldenCases } from "../../test/golden.ts";
import { OPTIONS } from "../../test/objects.ts";
import type { JsonObject } from "../world.ts";

const pair = issue(createAuthority("CA"), { commonName: "orders.test", dnsNames: ["orders.test"] });
const serverSecret = {
  name: "shop/orders-tls",
  tls_certificate: {
    certificate_chain: { inline_string: pair.certificate },
    private_key: { inline_string: pair.privateKey },
  },
};

describe.each(["allowlist", "authorization", "clientIP", "logging", "mtls", "rateLimit", "transport"])(
  "%s",
  (section) => {
    test.each(goldenCases(`${import.meta.dirname}/${section}/testdata`))("$name", async (one) => {
      const bootstraps = goldenBootstraps(one);
      expect(bootstraps.length).toBeGreaterThan(0);
      for (const bootstrap of bootstraps) {
        const { ok, message } = await validate(onThisMachine(bootstrap));
        expect({ ok, message: ok ? "" : message }).toEqual({ ok: true, message: "" });
      }
    });
  },
);

/** What lies outside of the configuration: the folder of log files, which Envoy opens even to validate, and the listener's own certificate. */
function onThisMachine(bootstrap: JsonObject): JsonObject {
  const moved = JSON.parse(JSON.stringify(bootstrap).replaceAll(OPTIONS.logDirectory, tmpdir())) as Bootstrap;
  const secrets = [...moved.static_resources.secrets, serverSecret];
  return { ...moved, static_resources: { ...moved.static_resources, secrets } };
}

type Bootstrap = JsonObject & { readonly static_resources: JsonObject & { readonly secrets: readonly JsonObject[] } };
