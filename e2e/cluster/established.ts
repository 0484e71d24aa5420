/** CRDs that were just applied. */
import type { Access } from "./access.ts";
import { eventually } from "./condition.ts";

const LIMIT_MS = 60_000;

/** Resolves when the API server serves every CRD that it has. Not one `kubectl wait`: it fails at a CRD that is too new to have conditions. */
export async function untilEstablished({ kubectl }: Pick<Access, "kubectl">): Promise<void> {
  const wait = ["wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout=10s"];
  await eventually("every CRD is established", async () => (await kubectl(wait)) !== "", { limitMs: LIMIT_MS });
}
