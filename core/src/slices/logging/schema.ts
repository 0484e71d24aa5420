/** Section `logging`: which calls are recorded, with what, and where (`sinks`: only on a Gateway or a listener). */
import * as z from "zod";
import { later } from "../../schema/later.ts";
import { listMap, listSet, textMap } from "../../schema/list.ts";
import { backendRef } from "../../schema/reference.ts";
import { type Immutable, defaultsTo, oneOrMore, rule } from "../../schema/rule.ts";
import { MAX_TEXT, fileName, headerName, matches, name, text } from "../../schema/text.ts";

export const DEFAULTS = { calls: "All", sampling: 100 } as const;

const FIELD_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,252}$/;

function sink() {
  const shape = z.strictObject({
    name: name().describe("Name of the sink."),
    type: z.enum(["Stdout", "File", "OTLP"]).describe("Where records go."),
    file: z
      .strictObject({ name: fileName().describe("Name of the file in the proxy's log directory.") })
      .describe("With File.")
      .exactOptional(),
    otlp: z
      .strictObject({ backendRef: backendRef().describe("The collector's gRPC port.") })
      .describe("With OTLP.")
      .exactOptional(),
  });
  return rule(shape, {
    cel: "has(self.file) == (self.type == 'File') && has(self.otlp) == (self.type == 'OTLP')",
    message: "has a field that its type does not have, or lacks it",
    fix: "write file with type File, otlp with OTLP, neither with Stdout",
    check: ({ type, file, otlp }) =>
      (file !== undefined) === (type === "File") && (otlp !== undefined) === (type === "OTLP"),
  });
}

export const schema = later(() =>
  oneOrMore(
    z.strictObject({
      calls: defaultsTo(z.enum(["All", "Denied", "Errors", "None"]), DEFAULTS.calls)
        .describe("Which calls are recorded.")
        .exactOptional(),
      sinks: listMap(sink(), "name", 4).describe("Where records go. Only on a Gateway or a listener.").exactOptional(),
      headers: listSet(headerName(), 32)
        .describe("Request headers to record besides the usual; credentials are always masked.")
        .exactOptional(),
      fields: rule(textMap(text(MAX_TEXT, 0), 16), {
        cel: `self.all(k, ${matches(FIELD_NAME, "k")})`,
        message: "holds what is no field name",
        fix: "use letters, digits, '_', '.' and '-', at most 253, and begin with a letter or '_'",
        check: (fields) => Object.keys(fields).every((key) => FIELD_NAME.test(key)),
      })
        .describe("Constants to record.")
        .exactOptional(),
      sampling: defaultsTo(z.int().min(0).max(100), DEFAULTS.sampling)
        .describe("Percent of successful calls; denied and failed ones are always recorded.")
        .exactOptional(),
    }),
    ["calls", "sinks", "headers", "fields", "sampling"],
  ),
);
export type Spec = Immutable<z.output<ReturnType<typeof schema>>>;
