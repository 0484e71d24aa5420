import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { request } from "node:https";
import { type Cluster, startCluster } from "./driver.ts";
import { eventually } from "./condition.ts";

const START_LIMIT_MS = 15 * 60_000;
const LIMIT_MS = 120_000;

/** Whether the API server answers at all within `limitMs`. */
function answers(apiServer: string, limitMs: number): Promise<"answer" | "refused" | "silence"> {
  return new Promise((resolve) => {
    const asked = request(
      `${apiServer}/livez`,
      { rejectUnauthorized: false, agent: false, timeout: limitMs },
      (response) => {
        response.resume();
        resolve("answer");
      },
    );
    asked.once("timeout", () => {
      resolve("silence");
      asked.destroy();
    });
    asked.once("error", () => resolve("refused"));
    asked.end();
  });
}

describe("hurting the API server of a cluster of one's own", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({ driver: "local", crds: false });
  }, START_LIMIT_MS);
  afterAll(() => cluster.stop());

  it(
    "keeps address and data over a stop and a start",
    async () => {
      await cluster.kubectl(["create", "configmap", "kept"]);
      await cluster.chaos?.stopApiServer();
      expect(await answers(cluster.apiServer, 1000)).toBe("refused");
      await cluster.chaos?.startApiServer();
      expect(await cluster.kubectl(["get", "configmap", "kept", "--output=name"])).toBe("configmap/kept\n");
    },
    LIMIT_MS,
  );

  it(
    "falls silent while paused and goes on afterwards",
    async () => {
      cluster.chaos?.pauseApiServer();
      expect(await answers(cluster.apiServer, 500)).toBe("silence");
      cluster.chaos?.resumeApiServer();
      expect(await answers(cluster.apiServer, 30_000)).toBe("answer");
    },
    LIMIT_MS,
  );

  it(
    "forgets old revisions",
    async () => {
      const list = JSON.parse(await cluster.kubectl(["get", "--raw", "/api/v1/namespaces/default/configmaps"])) as {
        readonly metadata: { readonly resourceVersion: string };
      };
      await cluster.kubectl(["create", "configmap", "later"]);
      await cluster.chaos?.compact();
      // Until it is started anew, the API server answers from snapshots that it keeps itself.
      await cluster.chaos?.stopApiServer();
      await cluster.chaos?.startApiServer();
      const old = `resourceVersion=${list.metadata.resourceVersion}&resourceVersionMatch=Exact`;
      await eventually("410 for the old revision", async () => {
        const failure: unknown = await cluster
          .kubectl(["get", "--raw", `/api/v1/namespaces/default/configmaps?${old}`])
          .then(
            () => undefined,
            (error: unknown) => error,
          );
        return String(failure).includes("too old");
      });
    },
    LIMIT_MS,
  );
});
