/** docs/journey.md as it stands: its commands, in its order, on a cluster with pods. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { runCommand } from "../cluster/child-process.ts";
import { STAND_IN_IMAGE } from "../cluster/test-images.ts";
import { REPOSITORY } from "../harness/installation.ts";
import { commandsOf } from "./document.ts";
import { type PodCluster, startPodCluster } from "./pod-cluster.ts";

const PAGE = "docs/journey.md";
const LIMIT_MS = 300_000;

/** What the page says that a section's commands print: its blocks that are no commands. */
function printed(heading: string): string {
  const text = readFileSync(join(REPOSITORY, PAGE), "utf8");
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? "";
  const [, block] = /^```(?:json|text)\n(.*?)^```$/ms.exec(section) ?? [];
  if (block === undefined) throw new Error(`${PAGE} shows nothing under "${heading}"`);
  return block;
}

describe("the journey", () => {
  let pods: PodCluster;
  beforeAll(async () => {
    // The page names an image of a registry; here an upstream of ours stands under its name.
    pods = await startPodCluster((line) => console.log(line), [STAND_IN_IMAGE]);
  }, LIMIT_MS);
  afterAll(() => pods.stop(), LIMIT_MS);
  const all = (heading: string): string => commandsOf(PAGE, heading).join("\n");

  it(
    "1 and 2: install, an API and a Gateway",
    async () => {
      await pods.shell(all("1. Install"));
      await pods.shell(all("2. An API and a Gateway"));
    },
    LIMIT_MS,
  );

  it(
    "3 to 6: closed, enforced, explained, withdrawn",
    async () => {
      // Port-forwarding lives as long as the shell that starts it, as it does for a person.
      const mark = (name: string): string => `\necho "=== ${name}"\n`;
      const [policy = "", calls = ""] = commandsOf(PAGE, "4. Say who may call, and how often");
      const [explained = "", linted = ""] = commandsOf(PAGE, "5. Ask what happens, and who said so");
      const output = await pods.shell(
        [
          "trap 'kill %1' EXIT\nset -m",
          all("3. Closed until somebody says who may call"),
          mark("policy") + policy,
          mark("calls") + calls,
          mark("explained") + explained,
          mark("linted") + linted,
          mark("withdrawn") + all("6. Take a right away"),
        ].join("\n"),
      );
      const part = (name: string): string => output.split(`=== ${name}\n`)[1]?.split("\n===")[0] ?? "";
      const [closed = ""] = output.split("\n=== policy");
      const problem = JSON.parse(closed) as Readonly<Record<string, unknown>>;
      expect(problem).toMatchObject(JSON.parse(printed("3. Closed until somebody says who may call")) as object);
      expect(part("calls").trim()).toBe(printed("4. Say who may call, and how often").trim());
      expect(part("explained")).toContain("journey/orders");
      expect(part("explained")).toContain("journey/orders#authentication");
      expect(part("explained")).toContain("GW-AUTHN-001");
      expect(part("linted")).toContain("GW-LINT-004");
      expect(part("linted")).toContain("HTTPRoute/journey/orders");
      expect(part("withdrawn")).toContain(printed("6. Take a right away").trim());
    },
    LIMIT_MS,
  );

  it(
    "7: cleans up",
    async () => {
      await pods.shell(all("7. Clean up"));
      await expect(
        runCommand("kubectl", ["get", "namespace", "journey", "--kubeconfig", pods.cluster.kubeconfig]),
      ).rejects.toThrow("not found");
    },
    LIMIT_MS,
  );
});
