/**
 * A Kubernetes cluster for tests behind one interface, with the CRDs of Gateway API and cert-manager, and cert-manager's
 * controllers running. Four drivers: `local` (processes on this machine, no pods), `node` (the same with a node and pods), `existing` (KUBECONFIG)
 * and `kind` (Docker).
 */
import { startExisting } from "./existing.ts";
import { startKind } from "./kind.ts";
import { startLocal } from "./local.ts";
import { startNodeCluster } from "./node-cluster.ts";

export interface Cluster {
  readonly driver: DriverName;
  /** File with administrator access. */
  readonly kubeconfig: string;
  /** URL of the API server. */
  readonly apiServer: string;
  /** Runs kubectl with administrator access and returns its standard output; throws with its standard error. */
  readonly kubectl: (args: readonly string[], stdin?: string) => Promise<string>;
  /** Server-side apply of a YAML stream, unknown fields refused. Throws with what the server said. */
  readonly apply: (yaml: string) => Promise<void>;
  /** Waits until the object exists and `status.conditions` has `condition` with status True. */
  readonly waitForCondition: (object: ObjectName, condition: string, timeoutMs?: number) => Promise<void>;
  /** Waits until the object (or its whole namespace) is gone. */
  readonly waitForDeletion: (object: ObjectName, timeoutMs?: number) => Promise<void>;
  /** Makes a namespace with a name that nobody else has. Returns the name. */
  readonly createNamespace: (prefix?: string) => Promise<string>;
  /** Ends everything that the driver started and removes its files. */
  readonly stop: () => Promise<void>;
  /** Only where the driver owns the API server (`local`, `node`). */
  readonly chaos?: ControlPlaneChaos;
  /** Only where pods run (`node`, `kind`): makes the image of a docker-archive known to the nodes. */
  readonly loadImage?: (file: string) => Promise<void>;
}

/** `resource` as kubectl names it (`certificates.cert-manager.io`); no namespace for cluster-wide objects. */
export interface ObjectName {
  readonly resource: string;
  readonly name: string;
  readonly namespace?: string;
}

/** Ways to hurt the API server. Its address and data stay the same throughout. */
export interface ControlPlaneChaos {
  /** Ends the API server: connections are closed and new ones refused. `graceMs` 0 kills it. */
  readonly stopApiServer: (graceMs?: number) => Promise<void>;
  /** Starts it again and waits until it is ready. */
  readonly startApiServer: () => Promise<void>;
  /** Open connections stay open and nothing is answered, until `resumeApiServer`. */
  readonly pauseApiServer: () => void;
  readonly resumeApiServer: () => void;
  /** Makes etcd forget old revisions, so that watches and lists from them end with 410 once the API server, which caches, was started anew. */
  readonly compact: () => Promise<void>;
}

export type DriverName = (typeof DRIVERS)[number];

const DRIVERS = ["local", "node", "existing", "kind"] as const;

export interface StartOptions {
  /** Default: the environment variable DRIVER, else `local`. */
  readonly driver?: DriverName;
  /** Apply the CRDs of Gateway API and cert-manager. Default true. */
  readonly crds?: boolean;
  /** Run cert-manager's controllers; needs `crds`. Default true. */
  readonly certManager?: boolean;
  /** Receives progress lines. Default: silence. */
  readonly say?: (line: string) => void;
}

/** Options with every default filled in: what a driver gets. */
export type DriverOptions = Readonly<Required<Omit<StartOptions, "driver">>>;

/** Starts (or reaches) a cluster that is ready for use. Throws when it cannot, with the end of the log that says why. */
export async function startCluster(options: StartOptions = {}): Promise<Cluster> {
  const filled: DriverOptions = {
    crds: options.crds ?? true,
    certManager: options.certManager ?? options.crds ?? true,
    say: options.say ?? (() => undefined),
  };
  const driver = options.driver ?? driverFromEnvironment();
  switch (driver) {
    case "local":
      return startLocal(filled);
    case "node":
      return startNodeCluster(filled);
    case "existing":
      return startExisting(filled);
    case "kind":
      return startKind(filled);
  }
}

function driverFromEnvironment(): DriverName {
  const driver = process.env["DRIVER"] ?? "local";
  const known = DRIVERS.find((each) => each === driver);
  if (known === undefined) throw new Error(`DRIVER=${driver}: expected ${DRIVERS.join(", ")}`);
  return known;
}
