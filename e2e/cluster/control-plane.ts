/** etcd, kube-apiserver and kube-controller-manager as processes on this machine, with their own certificates. */
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { lastLines, type ManagedProcess, startProcess } from "./child-process.ts";
import { eventually } from "./condition.ts";
import type { ControlPlaneChaos } from "./driver.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import { type Authority, createAuthority, issue, type KeyPair } from "./pki.ts";
import { freePorts } from "./port.ts";

const ADDRESS = "127.0.0.1";
const SERVICE_RANGE = "10.96.0.0/16";
const FIRST_SERVICE_ADDRESS = "10.96.0.1";
const ISSUER = "https://kubernetes.default.svc";
const READY_LIMIT_MS = 120_000;

/** What the tests rely on; nothing here needs a node. */
const CONTROLLERS = [
  "namespace-controller",
  "garbage-collector-controller",
  "serviceaccount-controller",
  "serviceaccount-token-controller",
  "root-ca-certificate-publisher-controller",
  "clusterrole-aggregation-controller",
  "endpointslice-controller",
];

/** What a cluster with nodes needs beside. */
const NODE_CONTROLLERS = [
  "deployment-controller",
  "replicaset-controller",
  "disruption-controller",
  "horizontal-pod-autoscaler-controller",
  "node-lifecycle-controller",
  "pod-garbage-collector-controller",
  "endpoints-controller",
];

export interface ControlPlaneOptions {
  /** An address of this machine that pods reach the API server at; also runs the controllers that pods need. Default: no pods, loopback only. */
  readonly nodeAddress?: string;
}

export interface ControlPlane {
  /** Signs certificates that the API server accepts. */
  readonly authority: Authority;
  /** Its certificate, as a file. */
  readonly authorityFile: string;
  readonly apiServer: string;
  readonly kubeconfig: string;
  /** What a path answers as JSON, to the administrator and without a process of its own; undefined where there is nothing. */
  readonly read: (path: string) => Promise<unknown>;
  readonly chaos: ControlPlaneChaos;
  readonly processes: () => readonly ManagedProcess[];
  readonly stop: () => Promise<void>;
}

/** Starts the three parts with their files in `directory` (made here); resolves when the API server is ready. */
export async function startControlPlane(
  binary: string,
  directory: string,
  options: ControlPlaneOptions = {},
): Promise<ControlPlane> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const [etcdPort = 0, peerPort = 0, apiPort = 0] = await freePorts(3, ADDRESS);
  const etcdUrl = `http://${ADDRESS}:${String(etcdPort)}`;
  const apiServer = `https://${ADDRESS}:${String(apiPort)}`;
  const files = writePki(directory, options);
  const kubeconfig = join(directory, "kubeconfig");
  writeKubeconfig(kubeconfig, {
    server: apiServer,
    authority: files.authority.certificate,
    user: "administrator",
    keyPair: files.administrator,
  });

  const part = (name: string, args: readonly string[]): Promise<ManagedProcess> =>
    startProcess({
      name,
      command: binary,
      args: [name, ...args],
      logFile: join(directory, `${name}.log`),
      cwd: directory,
    });
  const etcd = await part("etcd", etcdFlags(directory, etcdUrl, `http://${ADDRESS}:${String(peerPort)}`));
  const startApiServer = async (): Promise<ManagedProcess> => {
    const started = await part("kube-apiserver", apiServerFlags(files, etcdUrl, apiPort, options));
    try {
      const isReady = async (): Promise<boolean> => (await ask(`${apiServer}/readyz`, files)).status === 200;
      await eventually("kube-apiserver ready", isReady, {
        limitMs: READY_LIMIT_MS,
        giveUp: () => whatEnded(etcd) ?? whatEnded(started),
      });
    } catch (error) {
      await started.stop(0);
      throw error;
    }
    return started;
  };
  let running: readonly ManagedProcess[] = [etcd];
  const kept = new Agent({ keepAlive: true });
  try {
    let server = await startApiServer();
    const manager = await part("kube-controller-manager", controllerManagerFlags(files, kubeconfig, options));
    running = [manager, server, etcd];
    return {
      authority: files.authority,
      authorityFile: files.paths.authority,
      apiServer,
      kubeconfig,
      read: async (path) => {
        const { status, text } = await ask(`${apiServer}${path}`, files, kept);
        if (status !== 200 && status !== 404) throw new Error(`GET ${path}: ${String(status)} ${text}`);
        return status === 404 ? undefined : (JSON.parse(text) as unknown);
      },
      processes: () => running,
      chaos: {
        stopApiServer: (graceMs) => server.stop(graceMs),
        startApiServer: async () => {
          server = await startApiServer();
          running = [manager, server, etcd];
        },
        pauseApiServer: () => server.pause(),
        resumeApiServer: () => server.resume(),
        compact: () => compact(etcdUrl),
      },
      stop: () => {
        kept.destroy();
        return stopAll(running);
      },
    };
  } catch (error) {
    await stopAll(running);
    throw error;
  }
}

interface PkiFiles {
  readonly authority: Authority;
  readonly administrator: KeyPair;
  readonly paths: Readonly<
    Record<
      | "authority"
      | "certificate"
      | "key"
      | "administratorCertificate"
      | "administratorKey"
      | "accountPublicKey"
      | "accountPrivateKey",
      string
    >
  >;
}

function writePki(directory: string, { nodeAddress }: ControlPlaneOptions): PkiFiles {
  const authority = createAuthority("gatewarden-test-cluster");
  const serving = issue(authority, {
    commonName: "kube-apiserver",
    usages: ["server"],
    dnsNames: ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
    addresses: [ADDRESS, FIRST_SERVICE_ADDRESS, ...(nodeAddress === undefined ? [] : [nodeAddress])],
  });
  const administrator = issue(authority, {
    commonName: "administrator",
    organizations: ["system:masters"],
    usages: ["client"],
  });
  const account = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const write = (name: string, text: string): string => {
    const path = join(directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  return {
    authority,
    administrator,
    paths: {
      authority: write("ca.crt", authority.certificate),
      certificate: write("apiserver.crt", serving.certificate),
      key: write("apiserver.key", serving.privateKey),
      administratorCertificate: write("administrator.crt", administrator.certificate),
      administratorKey: write("administrator.key", administrator.privateKey),
      accountPublicKey: write("sa.pub", account.publicKey.export({ type: "spki", format: "pem" }).toString()),
      accountPrivateKey: write("sa.key", account.privateKey.export({ type: "pkcs8", format: "pem" }).toString()),
    },
  };
}

function etcdFlags(directory: string, clientUrl: string, peerUrl: string): readonly string[] {
  return [
    "--name=test",
    `--data-dir=${join(directory, "etcd")}`,
    `--listen-client-urls=${clientUrl}`,
    `--advertise-client-urls=${clientUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=test=${peerUrl}`,
    // The data does not outlive the test.
    "--unsafe-no-fsync",
    "--log-level=warn",
    "--quota-backend-bytes=4294967296",
  ];
}

function apiServerFlags(
  { paths }: PkiFiles,
  etcdUrl: string,
  port: number,
  { nodeAddress }: ControlPlaneOptions,
): readonly string[] {
  const reach =
    nodeAddress === undefined
      ? [
          `--bind-address=${ADDRESS}`,
          // Given, or it is looked for on the default route, which a network namespace of its own does not have.
          `--advertise-address=${ADDRESS}`,
          // Nobody reaches the API server through the `kubernetes` Service, and 127.0.0.1 may not be its endpoint.
          "--endpoint-reconciler-type=none",
        ]
      : [
          "--bind-address=0.0.0.0",
          `--advertise-address=${nodeAddress}`,
          // By the node's name it would be looked for in DNS, which has no nodes.
          "--kubelet-preferred-address-types=InternalIP",
          `--kubelet-client-certificate=${paths.administratorCertificate}`,
          `--kubelet-client-key=${paths.administratorKey}`,
        ];
  return [
    ...reach,
    `--etcd-servers=${etcdUrl}`,
    `--secure-port=${String(port)}`,
    `--client-ca-file=${paths.authority}`,
    `--tls-cert-file=${paths.certificate}`,
    `--tls-private-key-file=${paths.key}`,
    `--service-account-key-file=${paths.accountPublicKey}`,
    `--service-account-signing-key-file=${paths.accountPrivateKey}`,
    `--service-account-issuer=${ISSUER}`,
    // A token for another audience is no credential here, but a TokenReview that names its audience accepts it.
    `--api-audiences=${ISSUER}`,
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    "--authorization-mode=Node,RBAC",
    "--allow-privileged",
    "--profiling=false",
  ];
}

function controllerManagerFlags(
  { paths }: PkiFiles,
  kubeconfig: string,
  { nodeAddress }: ControlPlaneOptions,
): readonly string[] {
  const controllers = nodeAddress === undefined ? CONTROLLERS : [...CONTROLLERS, ...NODE_CONTROLLERS];
  return [
    `--kubeconfig=${kubeconfig}`,
    `--controllers=${controllers.join(",")}`,
    "--leader-elect=false",
    // No port at all: nobody asks it anything.
    "--secure-port=0",
    `--service-account-private-key-file=${paths.accountPrivateKey}`,
    `--root-ca-file=${paths.authority}`,
    "--kube-api-qps=200",
    "--kube-api-burst=400",
    // A slow machine on which the API server was away must not count as a node that is gone: every pod on it would be unready at once.
    "--node-monitor-grace-period=180s",
  ];
}

/** One GET as the administrator, on a connection of its own unless an agent keeps them. */
function ask(
  url: string,
  files: PkiFiles,
  agent: Agent | false = false,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const options = {
      ca: files.authority.certificate,
      cert: files.administrator.certificate,
      key: files.administrator.privateKey,
      agent,
      timeout: 5_000,
    };
    const asked = request(url, options, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.once("error", reject);
      response.once("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asked.once("timeout", () => asked.destroy(new Error(`no answer from ${url}`)));
    asked.once("error", reject);
    asked.end();
  });
}

/** Says how a process ended and quotes the end of its log; undefined while it runs. */
export function whatEnded(managed: ManagedProcess): string | undefined {
  const ending = managed.ending();
  return ending === undefined ? undefined : `${managed.name} ended with ${ending}:\n${lastLines(managed.logFile)}`;
}

/** etcd's JSON gateway: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/ */
async function compact(etcdUrl: string): Promise<void> {
  const post = async (path: string, body: unknown): Promise<unknown> => {
    const response = await fetch(`${etcdUrl}/v3/kv/${path}`, { method: "POST", body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`etcd ${path}: ${String(response.status)} ${await response.text()}`);
    return response.json();
  };
  const { header } = (await post("range", { key: "AA==" })) as { readonly header: { readonly revision: string } };
  await post("compaction", { revision: header.revision, physical: true });
}

async function stopAll(processes: readonly ManagedProcess[]): Promise<void> {
  // Killed: everything they could still save is removed next.
  await Promise.all(processes.map((each) => each.stop(0)));
}
