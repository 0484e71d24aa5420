/** Manifests as the core sees them, for commands that look instead of serving. */
import { openEngine } from "@gatewarden/core/engine.ts";
import { lintWorld } from "../lint/lint.ts";
import { apisOf } from "../lint/apis.ts";
import type { LintWorld } from "../lint/rule.ts";
import type { Manifest } from "./manifests.ts";
import { createOfflineWorld } from "./world.ts";

export interface InspectOptions {
  readonly requirePolicy: boolean;
  readonly nowMs: number;
}

export function inspectObjects(objects: ReadonlyMap<string, Manifest>, options: InspectOptions): LintWorld {
  const open = openEngine({
    controllerName: "gatewarden.io/gateway-controller",
    requirePolicy: options.requirePolicy,
    logDirectory: "/var/log/gatewarden",
  });
  const world = createOfflineWorld(open.engine);
  world.set(objects, options.nowMs);
  return lintWorld(objects, world, apisOf(objects, open), options.nowMs);
}
