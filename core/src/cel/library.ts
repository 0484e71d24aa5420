/**
 * The CEL library, loaded with the first expression: most policies have none, and it brings a registry of protobuf types that costs a command
 * a fifth of its time and the operator some megabytes.
 */
import { createRequire } from "node:module";

type Cel = typeof import("@bufbuild/cel");
type Syntax = typeof import("@bufbuild/cel-spec/cel/expr/syntax_pb.js");
type Protobuf = typeof import("@bufbuild/protobuf");
type WellKnown = typeof import("@bufbuild/protobuf/wkt");

export type CelLibrary = Pick<Cel, "celEnv" | "celFunc" | "CelScalar" | "isCelError" | "mapType" | "parse" | "plan"> &
  Pick<Syntax, "ExprSchema"> &
  Pick<Protobuf, "create" | "fromJson" | "toJson"> &
  Pick<WellKnown, "TimestampSchema">;

const find = createRequire(import.meta.url);
let loaded: CelLibrary | undefined;

export function celLibrary(): CelLibrary {
  return (loaded ??= {
    ...(find("@bufbuild/cel") as Cel),
    ...(find("@bufbuild/cel-spec/cel/expr/syntax_pb.js") as Syntax),
    ...(find("@bufbuild/protobuf") as Protobuf),
    ...(find("@bufbuild/protobuf/wkt") as WellKnown),
  });
}
