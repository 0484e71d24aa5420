/** Manifests as the core sees them, for commands that look instead of serving. */
import { type OpenEngine, openEngine } from "@gatewarden/core/engine.ts";
import { apisOf } from "../lint/apis.ts";
import { lintWorld } from "../lint/lint.ts";
import type { LintWorld } from "../lint/rule.ts";
import type { Manifest } from "./manifests.ts";
import { createOfflineWorld, type OfflineWorld } from "./world.ts";

export interface InspectOptions {
  readonly requirePolicy: boolean;
  readonly nowMs: number;
}

/** The engine that holds these objects as they are at `nowMs`, and what it made of them. */
export function openObjects(
  objects: ReadonlyMap<string, Manifest>,
  { requirePolicy, nowMs }: InspectOptions,
): { readonly open: OpenEngine; readonly world: OfflineWorld } {
  const open = openEngine({
    controllerName: "gatewarden.io/gateway-controller",
    requirePolicy,
    logDirectory: "/var/log/gatewarden",
  });
  const world = createOfflineWorld(open.engine);
  world.set(objects, nowMs);
  return { open, world };
}

export function inspectObjects(objects: ReadonlyMap<string, Manifest>, options: InspectOptions): LintWorld {
  const { open, world } = openObjects(objects, options);
  return lintWorld(objects, world, apisOf(objects, open), options.nowMs);
}
