/** JUnit's XML, as CI servers read it: one test case per check, failed where it found something. */

export interface Case {
  readonly suite: string;
  readonly name: string;
  /** Undefined: passed. */
  readonly failure?: { readonly message: string; readonly text: string };
  readonly file?: string;
  readonly line?: number;
}

export function junit(name: string, cases: readonly Case[]): string {
  const suites = new Map<string, Case[]>();
  for (const one of cases) suites.set(one.suite, [...(suites.get(one.suite) ?? []), one]);
  const failed = (list: readonly Case[]): number => list.filter(({ failure }) => failure !== undefined).length;
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="${escape(name)}" tests="${cases.length}" failures="${failed(cases)}">`,
  ];
  for (const [suite, list] of suites) {
    lines.push(`  <testsuite name="${escape(suite)}" tests="${list.length}" failures="${failed(list)}">`);
    for (const { name: title, failure, file, line } of list) {
      const at = file === undefined ? "" : ` file="${escape(file)}"${line === undefined ? "" : ` line="${line}"`}`;
      const open = `    <testcase classname="${escape(suite)}" name="${escape(title)}"${at}`;
      if (failure === undefined) lines.push(`${open}/>`);
      else
        lines.push(
          `${open}>`,
          `      <failure message="${escape(failure.message)}">${escape(failure.text)}</failure>`,
          "    </testcase>",
        );
    }
    lines.push("  </testsuite>");
  }
  return `${[...lines, "</testsuites>"].join("\n")}\n`;
}

/** XML 1.0 has no way to write most control characters: they become U+FFFD, as line ends in attributes become references. */
function escape(text: string): string {
  return text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("\n", "&#10;");
}
