/** What our reader says that kubectl reads otherwise is what kubectl does read, word by word. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "@jest/globals";
import { parseDocument } from "yaml";
import { runCommand } from "../../e2e/cluster/child-process.ts";
import { kubectlCommand } from "../../e2e/cluster/parts.ts";
import { otherReadings } from "../src/offline/kubectl-reading.ts";

const START_LIMIT_MS = 15 * 60_000; // kubectl may have to be built

const WRITTEN = [
  ...["y", "Y", "yes", "Yes", "YES", "yEs", "on", "On", "ON", "oN", "true", "True", "TRUE", "tRUE"],
  ...["n", "N", "no", "No", "NO", "nO", "off", "Off", "OFF", "oFF", "false", "False", "FALSE", "fALSE"],
  ...[
    "0",
    "00",
    "7",
    "07",
    "08",
    "089",
    "0123",
    "-0123",
    "+0123",
    "0_8",
    "1_000",
    "1__0",
    "0_",
    "_0",
    "1_0.5",
    "1_0e3",
  ],
  ...["0x1F", "0X1F", "-0x1F", "0x1_F", "0x", "0xg", "0b11", "-0b11", "0B11", "0b2", "0o17", "0O17", "+0o7", "0o8"],
  ...[
    "1e3",
    "1E3",
    ".5",
    "-.5",
    "1.",
    "01.5",
    "0e1",
    "1:30",
    "190:20:30",
    "1:30.5",
    "2001-01-01",
    "2001-01-01T00:00:00Z",
  ],
  ...["09999999999999999999999", "~", "null", "Null", "nULL", "=", "1.2.3"],
];

test(
  "kubectl reads values and names of fields as we say",
  async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
    const file = path.join(folder, "all.yaml");
    const values = WRITTEN.map((source, index) => `  v${index}: ${source}\n`);
    // Names that would mean the same twice stand in maps of their own.
    const names = WRITTEN.filter((source) => !["~", "null", "Null"].includes(source));
    const maps = names.map((source, index) => `  n${index}: {${source}: x}\n`);
    writeFileSync(
      file,
      `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n${[...values, ...maps].join("")}`,
    );
    const args = ["label", "--local", "--filename", file, "a=b", "--output=json"];
    const { stdout } = await runCommand(await kubectlCommand(), args);
    rmSync(folder, { recursive: true });
    const { data } = JSON.parse(stdout) as { readonly data: Readonly<Record<string, unknown>> };

    const foretold = (yaml: string): unknown => {
      const document = parseDocument(yaml);
      return otherReadings(document.contents)[0]?.kubectl ?? document.toJS();
    };
    expect(WRITTEN.map((source, index) => [source, data[`v${index}`]])).toEqual(
      WRITTEN.map((source) => [source, foretold(source)]),
    );
    const nameOf = (value: unknown): string => Object.keys(value as object).join();
    expect(names.map((source, index) => [source, nameOf(data[`n${index}`])])).toEqual(
      names.map((source) => [source, String(foretold(source))]),
    );
  },
  START_LIMIT_MS,
);
