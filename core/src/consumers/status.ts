/** The status of an ApiConsumer, but for Programmed, which the book of acknowledgements adds. */
import type { Problem } from "../problems.ts";
import type { Condition, CredentialStatus, ObjectStatus } from "../world.ts";
import type { Credentials } from "./credentials.ts";
import type { Settled } from "./settle.ts";

/** `gateways`: those whose proxies get its credentials, as `namespace/name`. */
export function consumerStatus(
  { consumer, problems }: Credentials,
  { credentials }: Settled,
  gateways: readonly string[],
): ObjectStatus {
  const { generation } = consumer;
  const condition = (
    type: string,
    fault: { readonly reason: string; readonly message: string } | undefined,
    good: string,
  ): Condition => ({
    type,
    status: fault === undefined ? "True" : "False",
    reason: fault?.reason ?? type,
    message: fault?.message ?? good,
    observedGeneration: generation,
  });
  const [invalid] = consumer.problems;
  const accepted =
    invalid === undefined ? conflictOf(credentials) : { reason: invalid.reason, message: sentence(consumer.problems) };
  const [unresolved] = problems;
  const resolved = unresolved && { reason: unresolved.reason, message: sentence(problems) };
  return {
    kind: "ApiConsumer",
    generation,
    conditions: [
      condition("Accepted", accepted, "the consumer is valid"),
      condition("ResolvedRefs", resolved, "every Secret is there and may be read"),
    ],
    credentials,
    gateways,
  };
}

/** Only a consumer that lost every credential is refused; else the state of each says it. */
function conflictOf(
  credentials: readonly CredentialStatus[],
): { readonly reason: string; readonly message: string } | undefined {
  const lost = credentials.filter(({ state }) => state === "Conflicted");
  const [first] = lost;
  if (first === undefined || lost.length < credentials.length) return undefined;
  return { reason: "Conflicted", message: `${first.name}: ${first.message ?? ""}` };
}

function sentence(problems: readonly Problem[]): string {
  return problems.map(({ message, fix }) => (fix === undefined ? message : `${message} (${fix})`)).join("; ");
}
