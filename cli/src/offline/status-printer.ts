/** Says on which object something changed, as its status would: one line for each. */
import type { ObjectKey, ObjectStatus, Output } from "@gatewarden/core/world.ts";
import { keyText } from "@gatewarden/operator/kube/kinds.ts";
import { composeStatus } from "@gatewarden/operator/status/compose.ts";
import { createOwners } from "@gatewarden/operator/status/owners.ts";
import { standingOf } from "@gatewarden/operator/status/programmed.ts";
import type { XdsServer } from "@gatewarden/xds/server/server.ts";
import type { OfflineWorld } from "./world.ts";

export interface StatusPrinter {
  update(output: Output): void;
  /** Looks at every object; prints those that stand differently than when they were printed last. */
  print(): void;
}

export interface StatusPrinterOptions {
  readonly world: OfflineWorld;
  readonly xds: Pick<XdsServer, "proxies" | "status">;
  readonly redact: (text: string) => string;
  readonly say: (line: string) => void;
}

const CONTROLLER_NAME = "gatewarden.io/gateway-controller";

export function createStatusPrinter({ world, xds, redact, say }: StatusPrinterOptions): StatusPrinter {
  const owners = createOwners();
  const printed = new Map<string, string>();
  const book = {
    proxies: (gateway: string) => xds.proxies(gateway).complete,
    resource: xds.status,
    turnedAway: () => undefined,
  };

  const lineOf = (key: ObjectKey, status: ObjectStatus): string | undefined => {
    const composed = composeStatus(undefined, status, {
      controllerName: CONTROLLER_NAME,
      gatewayClass: "",
      now: "",
      self: `${key.namespace}/${key.name}`,
      standing: (gateway) => standingOf(keyText(key), gateway, owners, book),
    });
    const conditions = conditionsOf(composed);
    const wanted =
      status.kind === "Gateway"
        ? "Programmed"
        : status.kind === "ApiPolicy" || status.kind === "ApiConsumer" || status.kind === "ApiGrant"
          ? "Ready"
          : "Accepted";
    const condition =
      conditions.find(({ type, status: value }) => type === wanted && value !== "True") ??
      conditions.find(({ type }) => type === wanted);
    if (condition === undefined) return undefined;
    const why = condition.message === "" ? "" : `: ${condition.message}`;
    return `${condition.type}=${condition.status} ${condition.reason}${why}`;
  };

  return {
    update: (output) => owners.update(output.resources),
    print() {
      for (const [id, { key, status }] of world.statuses()) {
        const line = lineOf(key, status);
        if (line === undefined || printed.get(id) === line) continue;
        printed.set(id, line);
        say(`${key.kind} ${key.namespace === "" ? "" : `${key.namespace}/`}${key.name} ${redact(line)}`);
      }
      for (const id of printed.keys()) if (!world.statuses().has(id)) printed.delete(id);
    },
  };
}

interface Printed {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

function conditionsOf(status: Readonly<Record<string, unknown>>): readonly Printed[] {
  const own = (status["conditions"] ?? []) as readonly Printed[];
  const parents = (status["parents"] ?? status["ancestors"] ?? []) as readonly {
    readonly conditions: readonly Printed[];
  }[];
  return [...own, ...parents.flatMap(({ conditions }) => conditions)];
}
