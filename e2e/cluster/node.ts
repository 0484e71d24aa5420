/**
 * A node with real pods: containerd, kubelet, kube-proxy, scheduler and cluster DNS as processes in the present network namespace, beside a
 * control plane that pods reach at `address`. Owns a folder with everything, and takes down what containerd leaves running.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { lastLines, type ManagedProcess, runCommand, startProcess } from "./child-process.ts";
import { eventually } from "./condition.ts";
import { type ControlPlane, whatEnded } from "./control-plane.ts";
import { CLUSTER_DOMAIN, type DnsServer, type Lookup, startDns } from "./dns.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import { removeRemains } from "./node-remains.ts";
import type { NodeParts } from "./node-parts.ts";
import { issue } from "./pki.ts";

export interface RunningNode {
  readonly name: string;
  /** Makes an image of a docker-archive (images/) known to the node, under the name in it. */
  readonly loadImage: (file: string) => Promise<void>;
  readonly stop: () => Promise<void>;
}

export interface NodeOptions {
  readonly parts: NodeParts;
  readonly controlPlane: ControlPlane;
  readonly kubectl: (args: readonly string[], stdin?: string) => Promise<string>;
  readonly lookup: Lookup;
  /** An address of this machine that is not loopback. */
  readonly address: string;
  /** Docker-archive with the pause image, and the name in it. */
  readonly pauseImage: { readonly file: string; readonly name: string };
  /** Made here. */
  readonly directory: string;
}

const NAME = "node-1";
/** Beside the range of the namespace (netns.ts) and the Services'. */
const POD_RANGE = "10.97.0.0/16";
const READY_LIMIT_MS = 180_000;
/** Where containerd puts pods when the kubelet names no place (cgroups of version 1), and their weight there: see {@link weighPods}. */
const POD_GROUP = "/sys/fs/cgroup/cpu/k8s.io";
const POD_SHARES = 16_384;

/** Starts the node; resolves when it is Ready. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { directory, parts, address, controlPlane } = options;
  mkdirSync(directory, { recursive: true });
  const path = (name: string): string => join(directory, name);
  const files = writeFiles(options, path);
  const socket = path("containerd.sock");
  const running: ManagedProcess[] = [];
  const start = async (name: string, command: string, args: readonly string[]): Promise<ManagedProcess> => {
    const env = { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`, NODE_OPTIONS: undefined };
    const started = await startProcess({ name, command, args, logFile: path(`${name}.log`), env });
    running.unshift(started);
    return started;
  };
  const ended = (): string | undefined => running.map(whatEnded).find((ending) => ending !== undefined);
  const ctr = (args: readonly string[]): Promise<unknown> =>
    runCommand("ctr", ["--address", socket, "--namespace", "k8s.io", ...args], { timeoutMs: 120_000 });
  const loadImage = async (file: string): Promise<void> => void (await ctr(["images", "import", file]));
  let dns: DnsServer | undefined;
  const stop = async (): Promise<void> => {
    // Pods first, as long as the kubelet can take them down: what it waits for before a pod is gone is its network too. Nothing starts in their place.
    await options.kubectl(["cordon", NAME]).catch(() => undefined);
    const every = ["--all", "--all-namespaces", "--grace-period=1", "--timeout=30s"];
    await options.kubectl(["delete", "pods", ...every]).catch(() => undefined);
    await dns?.stop();
    for (const each of running) await each.stop(each.name === "containerd" ? undefined : 0);
    keepLogs(running);
    await removeRemains(directory);
  };
  try {
    giveDefaultRoute();
    weighPods();
    dns = await startDns(address, options.lookup);
    await start("containerd", "containerd", ["--config", files.containerd]);
    await eventually("containerd", async () => ((await ctr(["version"])) === undefined ? false : true), {
      giveUp: ended,
    });
    await loadImage(options.pauseImage.file);
    await start("kube-scheduler", parts.node, [
      "kube-scheduler",
      `--kubeconfig=${controlPlane.kubeconfig}`,
      "--leader-elect=false",
      "--secure-port=0",
    ]);
    await start("kube-proxy", parts.node, ["kube-proxy", ...proxyFlags(controlPlane.kubeconfig)]);
    await start("kubelet", parts.node, [
      "kubelet",
      `--config=${files.kubelet}`,
      `--kubeconfig=${files.kubeconfig}`,
      `--hostname-override=${NAME}`,
      `--node-ip=${address}`,
      `--root-dir=${path("kubelet")}`,
      `--cert-dir=${path("kubelet-pki")}`,
    ]);
    const ready = `jsonpath={.status.conditions[?(@.type=="Ready")].status}`;
    await eventually(
      "the node Ready",
      async () => (await options.kubectl(["get", "node", NAME, "--output", ready])) === "True",
      { limitMs: READY_LIMIT_MS, giveUp: ended },
    );
    return { name: NAME, loadImage, stop };
  } catch (error) {
    const logs = running.map(({ name, logFile }) => `--- ${name}\n${lastLines(logFile, 8)}`).join("\n");
    await stop();
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${logs}`);
  }
}

/** Copies the logs to the folder that GATEWARDEN_LOGS names, when it does. */
function keepLogs(processes: readonly ManagedProcess[]): void {
  const folder = process.env["GATEWARDEN_LOGS"];
  if (folder === undefined || folder === "") return;
  mkdirSync(folder, { recursive: true });
  for (const { name, logFile } of processes) copyFileSync(logFile, join(folder, `${name}.log`));
}

interface Files {
  readonly containerd: string;
  readonly kubelet: string;
  readonly kubeconfig: string;
}

function writeFiles(options: NodeOptions, path: (name: string) => string): Files {
  const { controlPlane, address } = options;
  const write = (name: string, content: string): string => {
    writeFileSync(path(name), content, { mode: 0o600 });
    return path(name);
  };
  mkdirSync(path("cni"), { recursive: true });
  write("cni/10-pods.conflist", JSON.stringify(networkOf(path("cni-state")), null, 1));
  const resolv = write("resolv.conf", `nameserver ${address}\n`);
  // Read by processes in pods with other users.
  chmodSync(resolv, 0o644);
  const keyPair = issue(controlPlane.authority, {
    commonName: `system:node:${NAME}`,
    organizations: ["system:nodes"],
    usages: ["client"],
  });
  const kubeconfig = path("kubelet.kubeconfig");
  const authority = controlPlane.authority.certificate;
  writeKubeconfig(kubeconfig, { server: controlPlane.apiServer, authority, user: `system:node:${NAME}`, keyPair });
  const kubelet = {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    address,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: false },
      x509: { clientCAFile: controlPlane.authorityFile },
    },
    authorization: { mode: "AlwaysAllow" },
    cgroupDriver: "cgroupfs",
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failSwapOn: false,
    // These machines still have it.
    failCgroupV1: false,
    containerRuntimeEndpoint: `unix://${path("containerd.sock")}`,
    resolvConf: resolv,
    clusterDNS: [address],
    clusterDomain: CLUSTER_DOMAIN,
    healthzPort: 0,
    podLogsDir: path("pod-logs"),
    volumePluginDir: path("volume-plugins"),
    staticPodPath: "",
    // The machine's disk is not the tests' business.
    evictionHard: { "nodefs.available": "0%", "imagefs.available": "0%", "memory.available": "0%" },
    imageGCHighThresholdPercent: 100,
    syncFrequency: "10s",
    configMapAndSecretChangeDetectionStrategy: "Watch",
    serializeImagePulls: false,
    kubeAPIQPS: 200,
    kubeAPIBurst: 400,
  };
  return {
    containerd: write("containerd.toml", containerdConfig(options, path)),
    kubelet: write("kubelet.yaml", JSON.stringify(kubelet, null, 1)),
    kubeconfig,
  };
}

/** https://github.com/containerd/containerd/blob/release/1.6/docs/cri/config.md */
function containerdConfig({ parts, pauseImage }: NodeOptions, path: (name: string) => string): string {
  return `version = 2
root = "${path("containerd")}"
state = "${path("containerd-state")}"
[grpc]
  address = "${path("containerd.sock")}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage.name}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "${path("runc")}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${parts.cni}"
    conf_dir = "${path("cni")}"
`;
}

function networkOf(stateDirectory: string): object {
  const ipam = {
    type: "host-local",
    dataDir: stateDirectory,
    ranges: [[{ subnet: POD_RANGE }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, hairpinMode: true, ipam };
  const ports = { type: "portmap", capabilities: { portMappings: true } };
  return { cniVersion: "1.0.0", name: "pods", plugins: [bridge, ports] };
}

function proxyFlags(kubeconfig: string): readonly string[] {
  return [
    `--kubeconfig=${kubeconfig}`,
    `--hostname-override=${NAME}`,
    "--proxy-mode=iptables",
    `--cluster-cidr=${POD_RANGE}`,
    // Two pods on one bridge would answer each other past the address translation.
    "--masquerade-all",
    // When rules were written, and how long it took.
    "--v=2",
    // Limits of the whole machine, which a network namespace cannot set.
    "--conntrack-max-per-core=0",
    "--conntrack-tcp-timeout-established=0",
    "--conntrack-tcp-timeout-close-wait=0",
    "--healthz-bind-address=127.0.0.1:10256",
    "--metrics-bind-address=127.0.0.1:10249",
  ];
}

/**
 * On a node that is somebody's, all that is not in a pod weighs together no more than a processor or two. Here each thread of the control plane, of
 * the tests and of whatever else the machine does weighs 1,024 by itself, which is what all pods together would have.
 */
function weighPods(): void {
  if (!existsSync(dirname(POD_GROUP))) return;
  mkdirSync(POD_GROUP, { recursive: true });
  writeFileSync(join(POD_GROUP, "cpu.shares"), String(POD_SHARES));
}

/** Without a route, packets to a Service's address are refused before kube-proxy's rules see them. */
function giveDefaultRoute(): void {
  const shown = spawnSync("ip", ["route", "show", "default"], { encoding: "utf8" });
  if (shown.stdout.trim() !== "") return;
  const added = spawnSync("ip", ["route", "add", "default", "dev", "veth0"], { encoding: "utf8" });
  if (added.status !== 0) throw new Error(`ip route add default: ${added.stderr.trim()}`);
}
