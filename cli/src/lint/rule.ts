/** The contract of a lint rule: a pure look at the world, with findings whose code, page and mend never change their meaning. */
import type { ParsedApiConsumer } from "@gatewarden/core/kinds/api-consumer.ts";
import type { ParsedApiPolicy } from "@gatewarden/core/kinds/api-policy.ts";
import type { ObjectStatus } from "@gatewarden/core/world.ts";
import type { Manifest } from "../offline/manifests.ts";
import type { Severity } from "../report/finding.ts";
import type { Api } from "./apis.ts";

export interface LintWorld {
  readonly manifests: ReadonlyMap<string, Manifest>;
  readonly policies: readonly ParsedApiPolicy[];
  readonly consumers: readonly ParsedApiConsumer[];
  /** By `Kind/namespace/name`. */
  readonly statuses: ReadonlyMap<string, ObjectStatus>;
  /** Every rule of every attached route, with what holds there. */
  readonly apis: readonly Api[];
  readonly namespaceLabels: (namespace: string) => Readonly<Record<string, string>>;
  readonly nowMs: number;
}

export interface Hit {
  /** `Kind/namespace/name` of the object that has to change. */
  readonly object: string;
  readonly path?: string;
  readonly message: string;
  readonly mend: string;
  /** The routes (`HTTPRoute/namespace/name`) that it is about, for the score; absent: those that the object has to do with. */
  readonly routes?: readonly string[];
  /** Where this hit weighs less or more than the rule's severity. */
  readonly severity?: Severity;
}

export interface LintRule {
  readonly code: string;
  readonly title: string;
  readonly severity: Severity;
  readonly check: (world: LintWorld) => readonly Hit[];
}
