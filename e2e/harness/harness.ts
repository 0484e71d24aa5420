/**
 * Everything real around a test: a cluster (the shared one of the run, else its own), the installation, the operator and
 * what tests make: namespaces, upstreams, Gateways with their Envoys. README.md of e2e/ shows a whole test.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeAtExit } from "../cluster/child-process.ts";
import { type Cluster, startCluster } from "../cluster/driver.ts";
import { upstreamAddress } from "../cluster/netns.ts";
import { type Authority, createAuthority } from "../cluster/pki.ts";
import { testCluster } from "../cluster/shared.ts";
import { type Api, startApi } from "./api.ts";
import { install } from "./installation.ts";
import { type OperatorHandle, startOperator } from "./operator.ts";
import { noProcess, onPods } from "./pod-gateway.ts";
import { createTenant, type Tenant } from "./tenant.ts";

export interface Harness {
  readonly cluster: Cluster;
  readonly api: Api;
  readonly operator: OperatorHandle;
  /** The authority that the operator trusts for fetching JWKS; also good for any other certificate of a test. */
  readonly authority: Authority;
  /** A folder of its own, removed at the end. */
  readonly directory: string;
  /** Where proxies write the files of `File` sinks. */
  readonly logDirectory: string;
  /** A new namespace; `optIn: false` leaves out the right to read its Secrets. */
  readonly tenant: (prefix?: string, options?: { readonly optIn?: boolean }) => Promise<Tenant>;
  /** Runs when the harness stops, last one first. */
  readonly atEnd: (work: () => Promise<unknown>) => void;
  readonly stop: () => Promise<void>;
}

export interface HarnessOptions {
  /** Further flags of the operator. */
  readonly operatorFlags?: readonly string[];
  /** A cluster of its own, for tests that hurt the API server. Default: the shared one of the run. */
  readonly ownCluster?: boolean;
  readonly say?: (line: string) => void;
}

/** How long `startHarness` may take in a `beforeAll`: a cluster of its own is part of it. */
export const START_LIMIT_MS = 180_000;

/** Starts what is not there yet; resolves when the operator is ready. On pods (pod-gateway.ts) the charts have started it. */
export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const say = options.say ?? (() => undefined);
  const directory = removeAtExit(mkdtempSync(join(tmpdir(), "gatewarden-e2e-")));
  const ends: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })];
  const atEnd: Harness["atEnd"] = (work) => void ends.push(work);
  const stop = async (): Promise<void> => {
    const faults: unknown[] = [];
    // One that fails, because a test left its cluster broken, keeps none of the others' processes.
    for (const end of ends.splice(0).reverse()) await end().catch((fault: unknown) => faults.push(fault));
    if (faults.length > 0) throw new AggregateError(faults, `could not end in order: ${faults.map(String).join("; ")}`);
  };
  try {
    const cluster = await (options.ownCluster === true ? startCluster({ driver: "local", say }) : testCluster());
    atEnd(cluster.stop);
    const api = await startApi(cluster.kubeconfig, directory);
    atEnd(api.stop);
    const authority = createAuthority("gatewarden-e2e");
    const caFile = join(directory, "jwks-ca.crt");
    writeFileSync(caFile, authority.certificate);
    const logDirectory = join(directory, "logs");
    mkdirSync(logDirectory);
    const jwks = ["--jwks-allow-cidr", `${upstreamAddress()}/32`, "--jwks-ca-file", caFile];
    const flags = ["--log-dir", logDirectory, ...jwks, ...(options.operatorFlags ?? [])];
    let started: OperatorHandle | undefined;
    if (!onPods()) {
      say("installing CRDs, rights, the issuer and the GatewayClass");
      await install(cluster);
      say("starting the operator");
      const operator = await startOperator(cluster, { directory, flags });
      atEnd(() => operator.stop());
      started = operator;
    }
    const operatorOf = (): OperatorHandle => started ?? noProcess("the operator");
    const context = { cluster, api, directory, xdsAddress: () => operatorOf().xdsAddress, atEnd };
    return {
      cluster,
      api,
      get operator() {
        return operatorOf();
      },
      authority,
      directory,
      logDirectory,
      tenant: (prefix = "shop", { optIn = true } = {}) => createTenant(context, prefix, optIn),
      atEnd,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
