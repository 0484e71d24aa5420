/** Files with expectations (`*.expect.yaml`): requests, and what has to become of them. docs/test.md describes the format. */
import { readFile } from "node:fs/promises";
import { parse as parseSchema } from "@gatewarden/core/schema/parse.ts";
import { LineCounter, parseDocument } from "yaml";
import * as z from "zod";
import { type LineOf, lineOf } from "../offline/position.ts";

const dateTime = z.iso.datetime({ offset: true });

const request = z.strictObject({
  method: z.string().min(1).exactOptional(),
  url: z.string().min(1),
  headers: z.record(z.string(), z.union([z.string(), z.array(z.string())])).exactOptional(),
  from: z.string().min(1).exactOptional(),
  as: z.string().min(1).exactOptional(),
  at: dateTime.exactOptional(),
});

const expected = z
  .strictObject({
    verdict: z.enum(["Allow", "Deny"]).exactOptional(),
    status: z.int().min(100).max(599).exactOptional(),
    code: z.string().min(1).exactOptional(),
    policy: z.string().exactOptional(),
    route: z.string().exactOptional(),
  })
  .refine((members) => Object.keys(members).length > 0, {
    message: "expects nothing",
    params: { fix: "write verdict, status, code, policy or route" },
  });

const schema = z.strictObject({
  manifests: z.array(z.string().min(1)).min(1).exactOptional(),
  expectations: z.array(z.strictObject({ name: z.string().min(1), request, expect: expected })).min(1),
});

export type Expectation = z.output<typeof schema>["expectations"][number];

export interface ExpectationFile {
  readonly file: string;
  /** Files and folders, relative to this file; absent: those of the command, or the folder of the test. */
  readonly manifests: readonly string[] | undefined;
  readonly expectations: readonly Expectation[];
  readonly line: LineOf;
}

export type ExpectationsResult =
  { readonly ok: true; readonly value: ExpectationFile } | { readonly ok: false; readonly message: string };

export async function readExpectations(file: string): Promise<ExpectationsResult> {
  const lines = new LineCounter();
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
  const document = parseDocument(text, { lineCounter: lines });
  const [fault] = document.errors;
  if (fault !== undefined)
    return { ok: false, message: `${file}:${lines.linePos(fault.pos[0]).line}: ${fault.message}` };
  const line = lineOf(document, lines);
  const parsed = parseSchema(schema, document.toJS({ maxAliasCount: 100 }), "");
  if (!parsed.ok) {
    const told = parsed.problems.map(({ path, message, fix }) => {
      const what = `${file}:${line(path)}: ${message.trim()}`;
      return fix === undefined ? what : `${what} (${fix})`;
    });
    return { ok: false, message: told.join("\n") };
  }
  const { manifests, expectations } = parsed.value;
  return { ok: true, value: { file, manifests, expectations, line } };
}
