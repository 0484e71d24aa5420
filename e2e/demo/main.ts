/**
 * `make demo`: a real control plane, cert-manager, the operator and Envoy; the manifests of examples/ applied with kubectl;
 * real requests, and a table of what came back. Exit status 0 only when every row is as expected. KEEP=1 stays up.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Answer } from "../client/answer.ts";
import { ADDRESS_VARIABLE, NAMESPACE_VARIABLE, runInNamespace, upstreamAddress } from "../cluster/netns.ts";
import { eventually } from "../cluster/condition.ts";
import { createAuthority, issue } from "../cluster/pki.ts";
import { conditionsOf } from "../harness/condition.ts";
import { type Harness, startHarness } from "../harness/harness.ts";
import { REPOSITORY } from "../harness/installation.ts";
import { startProxy } from "../harness/proxy.ts";
import { serviceFor } from "../harness/tenant.ts";
import { createSigner, keySet } from "../material/jwt.ts";
import { startEcho } from "../upstream/echo.ts";
import { type Call, callsOf, type Expected, type Surroundings } from "./calls.ts";
import { table } from "./table.ts";

const NAMESPACE = "shop";
const GATEWAY = "edge";
const ADDRESS = "127.0.0.80";
const PORT = 8080;
const EXAMPLES = join(REPOSITORY, "examples");
const PROGRAMMED_LIMIT_MS = 120_000;

const begin = Date.now();
const say = (line: string): void =>
  console.log(`demo: ${((Date.now() - begin) / 1000).toFixed(1).padStart(5)} s  ${line}`);

async function demo(): Promise<boolean> {
  if (await answers(ADDRESS, PORT)) throw new Error(`something listens on ${ADDRESS}:${String(PORT)}: another demo?`);
  say("starting the control plane and cert-manager");
  const harness = await startHarness({ say });
  try {
    const surroundings = await prepare(harness);
    const folders = readdirSync(EXAMPLES, { withFileTypes: true }).filter(
      // What a GitOps tool reads needs the tool's CRDs.
      (entry) => entry.isDirectory() && entry.name !== "gitops",
    );
    for (const { name } of folders.sort((a, b) => a.name.localeCompare(b.name))) {
      say(`kubectl apply -f examples/${name}`);
      await harness.cluster.kubectl(["apply", "--server-side", "--validate=strict", "-f", join(EXAMPLES, name)]);
    }
    say("starting Envoy 1.40 for Gateway shop/edge");
    const { cluster, api, operator, directory } = harness;
    const proxy = { namespace: NAMESPACE, gateway: GATEWAY, xdsAddress: operator.xdsAddress, directory };
    const envoy = await startProxy(cluster, api, proxy);
    harness.atEnd(envoy.stop);
    say("waiting for Programmed=True of the Gateway and of every ApiPolicy");
    await waitUntilProgrammed(harness);
    const listenerAuthority = await publishedAuthority(harness);
    const good = await sendAll(
      callsOf({ ...surroundings, listenerAuthority }),
      join(harness.logDirectory, "calls.jsonl"),
    );
    if ((process.env["KEEP"] ?? "") !== "") await keep(harness);
    return good;
  } finally {
    await harness.api.remove({ kind: "Namespace", name: NAMESPACE });
    await harness.stop();
  }
}

/** The two upstreams, and the key material that the examples refer to. */
async function prepare(harness: Harness): Promise<Omit<Surroundings, "listenerAuthority">> {
  const { api } = harness;
  say("starting the upstreams orders and reports");
  await api.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } });
  for (const name of ["orders", "reports"]) {
    const upstream = await startEcho({ name, address: upstreamAddress() });
    harness.atEnd(upstream.stop);
    await api.apply(serviceFor(name, upstream), NAMESPACE);
  }
  const signer = createSigner("RS256", "corp-1");
  const partners = createAuthority("Partners");
  const configMap = (name: string, data: Readonly<Record<string, string>>) =>
    api.apply({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data }, NAMESPACE);
  await configMap("corp-jwks", { "jwks.json": keySet(signer) });
  await configMap("partner-ca", { "ca.crt": partners.certificate });
  const partner = issue(partners, { commonName: "erp", uris: ["spiffe://partner.test/erp"], usages: ["client"] });
  const otherPartner = issue(partners, { commonName: "crm", uris: ["spiffe://partner.test/crm"], usages: ["client"] });
  return { address: ADDRESS, signer, partner, otherPartner };
}

async function waitUntilProgrammed({ api }: Harness): Promise<void> {
  const pending = async (): Promise<readonly string[]> => {
    const objects = [...(await api.list("ApiPolicy", NAMESPACE)), ...(await api.list("Gateway", NAMESPACE))];
    return objects.flatMap((object) => {
      const generation = object.metadata.generation ?? 0;
      const conditions = conditionsOf(object).filter(
        ({ observedGeneration = generation }) => observedGeneration >= generation,
      );
      const programmed = conditions.filter(({ type }) => type === "Programmed");
      if (programmed.length > 0 && programmed.every(({ status }) => status === "True")) return [];
      const bad = conditions
        .filter(({ status }) => status !== "True")
        .map((each) => `${each.type}=${each.status} ${each.reason} ${each.message}`);
      return [`${object.metadata.name}: ${bad.join("; ") || "no status yet"}`];
    });
  };
  let last: readonly string[] = [];
  try {
    await eventually("everything programmed", async () => (last = await pending()).length === 0, {
      limitMs: PROGRAMMED_LIMIT_MS,
    });
  } catch (error) {
    throw new Error(`${(error as Error).message}\n  ${last.join("\n  ")}`);
  }
}

/** The authority of ClusterIssuer gatewarden-ca, which signs the listeners' certificates. */
async function publishedAuthority({ api }: Harness): Promise<string> {
  const secret = await api.get({ kind: "Secret", name: "secure-shop-test", namespace: NAMESPACE });
  const data = secret?.["data"] as Readonly<Record<string, string>> | undefined;
  return Buffer.from(data?.["ca.crt"] ?? "", "base64").toString();
}

async function sendAll(calls: readonly Call[], logFile: string): Promise<boolean> {
  say("sending requests\n");
  const rows = [["example", "request", "expected", "came back", "decided by", ""]];
  let good = true;
  for (const { example, request, expected, send } of calls) {
    const answer = await send().catch(() => undefined);
    const fits = isAsExpected(answer, expected);
    good &&= fits;
    rows.push([
      example,
      request,
      describe(expected),
      told(answer, expected),
      await decider(answer, logFile),
      fits ? "ok" : "NOT OK",
    ]);
  }
  console.log(`${table(rows)}\n`);
  const count = rows.slice(1).filter((row) => row.at(-1) === "ok").length;
  say(`${String(count)} of ${String(calls.length)} answers are as expected`);
  return good;
}

function isAsExpected(answer: Answer | undefined, { status, policy, also }: Expected): boolean {
  if (answer === undefined) return status === 0;
  const decided = answer.header("x-gatewarden-policy");
  return answer.status === status && (policy === undefined || decided === policy) && (also?.holds(answer) ?? true);
}

function describe({ status, also }: Expected): string {
  return `${status === 0 ? "no TLS" : String(status)}${also === undefined ? "" : `, ${also.what}`}`;
}

function told(answer: Answer | undefined, { also }: Expected): string {
  if (answer === undefined) return "no TLS";
  const code =
    answer.header("content-type")?.startsWith("application/problem+json") === true ? ` ${answer.problem().code}` : "";
  const more = also === undefined || code !== "" ? "" : also.holds(answer) ? `, ${also.what}` : `, not ${also.what}`;
  return `${String(answer.status)}${code}${more}`;
}

/** A refusal names the policy that decided; of a call that passed, the record of the proxy does. */
async function decider(answer: Answer | undefined, logFile: string): Promise<string> {
  if (answer === undefined) return "listener";
  const named = answer.header("x-gatewarden-policy");
  if (named !== undefined || answer.status !== 200) return named ?? "-";
  const [, id] = answer.json<{ headers: [string, string][] }>().headers.find(([name]) => name === "x-request-id") ?? [];
  if (id === undefined) return "-";
  const record = await eventually("the record of the call", () => recordOf(logFile, id), { limitMs: 5_000 }).catch(
    () => undefined,
  );
  const wouldDeny = Object.values(record?.wouldDeny ?? {}).find((policy) => policy !== null);
  if (wouldDeny !== undefined) return `${wouldDeny} would deny`;
  return record?.policies?.["authentication"] ?? "-";
}

/** The fields of a call's record that the table needs (docs/logging.md). */
interface CallRecord {
  readonly policies?: Readonly<Record<string, string | null>>;
  readonly wouldDeny?: Readonly<Record<string, string | null>>;
}

function recordOf(logFile: string, requestId: string): CallRecord | undefined {
  if (!existsSync(logFile)) return undefined;
  const line = readFileSync(logFile, "utf8")
    .split("\n")
    .find((each) => each.includes(requestId));
  return line === undefined ? undefined : (JSON.parse(line) as CallRecord);
}

/** Waits for Ctrl-C. */
async function keep({ cluster, logDirectory }: Harness): Promise<void> {
  const inside = process.env[NAMESPACE_VARIABLE];
  const enter =
    inside === undefined
      ? []
      : [`  nsenter --net=/var/run/netns/${inside} bash   # everything runs in this network namespace`];
  const lines = [
    ...enter,
    `  export KUBECONFIG=${cluster.kubeconfig}`,
    `  kubectl get apipolicies -n ${NAMESPACE}`,
    `  curl -i http://${ADDRESS}:${String(PORT)}/orders -H 'host: key.shop.test' -H 'x-api-key: example-key-1-change-me'`,
    `  tail -f ${join(logDirectory, "calls.jsonl")}`,
  ];
  console.log(
    `\nEverything stays up until Ctrl-C. To go on by hand:\n${lines.join("\n")}\n\ngateway address: ${ADDRESS}:${String(PORT)}, ${ADDRESS}:8443\n`,
  );
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => resolve());
    // A promise alone does not keep a process alive.
    const timer = setInterval(() => undefined, 60_000);
    process.once("exit", () => clearInterval(timer));
  });
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function hasAddress(): boolean {
  try {
    upstreamAddress();
    return true;
  } catch {
    return false;
  }
}

if (process.env[ADDRESS_VARIABLE] === undefined && !hasAddress()) {
  // Nothing but loopback here: in a namespace of its own the demo has an address for its upstreams.
  const command = [process.execPath, ...process.execArgv, import.meta.filename];
  process.exitCode = await runInNamespace(command, say);
} else {
  try {
    process.exitCode = (await demo()) ? 0 : 1;
  } catch (error) {
    console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
  process.exit();
}
