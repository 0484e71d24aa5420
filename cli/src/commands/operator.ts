/** `gatewarden operator`: the cluster's side. */
import { OPERATOR_USAGE } from "@gatewarden/operator/config.ts";
import { keepYoungGenerationSmall } from "@gatewarden/operator/memory.ts";

export async function operator(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(OPERATOR_USAGE);
    return 0;
  }
  keepYoungGenerationSmall();
  const { runOperator } = await import("@gatewarden/operator/main.ts");
  return runOperator(args, process.env);
}
