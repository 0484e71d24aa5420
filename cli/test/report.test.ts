import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "@jest/globals";
import { LINT_RULES, LINT_RULE_INFOS } from "../src/lint/lint.ts";
import type { Finding } from "../src/report/finding.ts";
import { junit } from "../src/report/junit.ts";
import { sarif } from "../src/report/sarif.ts";
import { table } from "../src/report/table.ts";
import { report } from "../src/report/write.ts";

const FINDING: Finding = {
  code: "GW-LINT-006",
  severity: "warning",
  object: "ApiConsumer/shop/erp",
  path: "spec.apiKeys[0]",
  message: 'key <k1> & "co" has no end',
  mend: "write expiresAt",
  file: "/repo/a b.yaml",
  line: 7,
};

test("JSON has the members of api.md, in its order, then the place", () => {
  const [written] = JSON.parse(report("json", "gatewarden lint", [FINDING], LINT_RULE_INFOS, "/repo")) as object[];
  expect(Object.keys(written ?? {})).toEqual(["code", "severity", "object", "path", "message", "mend", "file", "line"]);
});

test("SARIF names files relative to the root, and every rule with its page", () => {
  expect(sarif([FINDING], LINT_RULE_INFOS, "/repo")).toMatchObject({
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: {
            rules: LINT_RULES.map(({ code }) => ({ id: code, helpUri: expect.stringContaining(code.toLowerCase()) })),
          },
        },
        results: [
          {
            ruleId: "GW-LINT-006",
            level: "warning",
            locations: [{ physicalLocation: { artifactLocation: { uri: "a%20b.yaml" }, region: { startLine: 7 } } }],
          },
        ],
      },
    ],
  });
});

test("SARIF of a cluster's object has a logical location", () => {
  const { file: _file, line: _line, ...rest } = FINDING;
  expect(JSON.stringify(sarif([rest], [], "/repo"))).toContain(
    '"locations":[{"logicalLocations":[{"fullyQualifiedName":"ApiConsumer/shop/erp#spec.apiKeys[0]"}]}]',
  );
});

test("JUnit escapes, counts, and passes the rules that found nothing", () => {
  const xml = report("junit", "gatewarden lint", [FINDING], LINT_RULE_INFOS, "/repo");
  expect(xml).toContain('message="key &lt;k1&gt; &amp; &quot;co&quot; has no end"');
  expect(xml).toContain(`tests="${LINT_RULES.length}" failures="1"`);
  expect(xml).toContain('<testcase classname="GW-LINT-001" name="Route without authentication"/>');
  expect(junit("x", [{ suite: "s", name: "a\u0000b\nc" }])).toContain('name="a\ufffdb&#10;c"');
});

test("a table is as wide as its longest cell and steers no terminal", () => {
  expect(
    table(
      ["A", "B"],
      [
        ["1", "2"],
        ["long", "\u001b[31mred"],
      ],
    ),
  ).toBe("A     B\n1     2\nlong  \ufffd[31mred\n");
  expect(table(["A"], [])).toBe("");
});

test("docs/lint.md has a page for each code, and no other", () => {
  const page = readFileSync(path.join(import.meta.dirname, "../../docs/lint.md"), "utf8");
  const documented = [...page.matchAll(/^### (GW-LINT-\d{3})$/gm)].map(([, code]) => code);
  expect(documented).toEqual(LINT_RULES.map(({ code }) => code));
  for (const { code, title } of LINT_RULES) expect(page).toContain(`### ${code}\n\n${title} (`);
});
