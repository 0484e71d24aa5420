/**
 * The certificate that the xDS server shows: cert-manager makes and renews it, we read its Secret by name and hand on pairs that fit together
 * (rules R31, pitfall 20). Its CA is published for the proxies as ConfigMap `gatewarden-ca`.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KubeObject } from "@gatewarden/core/world.ts";
import { mergeAuthorities, sameAuthorities } from "./authorities.ts";
import { MANAGED_BY_LABEL } from "./certificates.ts";
import { sleep, type Clock } from "./clock.ts";
import type { IssuerRef } from "./config.ts";
import { createBackoff } from "./kube/backoff.ts";
import { FIELD_MANAGER, type KubeClient } from "./kube/client.ts";
import { kindInfo, objectPath, REFERENCED_KINDS } from "./kube/kinds.ts";
import { startReflector } from "./kube/reflector.ts";
import { errorText, type Log } from "./log.ts";

export const SERVING_CERTIFICATE = "gatewarden-xds";
export const CA_CONFIG_MAP = "gatewarden-ca";

/** The name in the certificate and in every proxy's SNI. */
export function servingName(namespace: string): string {
  return `gatewarden.${namespace}.svc`;
}

export interface ServingPair {
  readonly certPem: string;
  readonly keyPem: string;
  readonly caPem: string;
}

export interface ServingCertificateOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly namespace: string;
  readonly issuer: IssuerRef;
  readonly leads: () => boolean;
  readonly onPair: (pair: ServingPair) => void;
}

export interface ServingCertificate {
  /** A pair was handed on. */
  readonly ready: () => boolean;
  /** The authorities of the newest pair and of the one that is shown. */
  readonly caPem: () => string | undefined;
  /** Called when this process becomes the one that writes. */
  resume(): void;
  stop(): Promise<void>;
}

/**
 * A pair of another authority is shown only after that long, while the pair before it is good: proxies are told of the new authority at once,
 * and those in the cluster are started anew one after the other to trust it.
 */
const OVERLAP_MS = 600_000;
/** The old pair is not shown any more that long before it ends. */
const END_MARGIN_MS = 60_000;

/** What we wrote is looked at again that often: somebody may have deleted it. */
const CHECK_EVERY_MS = 300_000;

export function startServingCertificate(options: ServingCertificateOptions): ServingCertificate {
  const { client, clock, log, namespace } = options;
  const stopping = new AbortController();
  const backoff = createBackoff(clock, 1_000, 30_000);
  let pair: ServingPair | undefined;
  let shown: ServingPair | undefined;
  let cancelHeld = (): void => undefined;
  let wakeUp = new AbortController();

  const wake = (): void => wakeUp.abort();

  /** `pair` is the newest one; `shown` is behind it while another authority comes in. */
  const take = (next: ServingPair): void => {
    if (next.certPem === pair?.certPem && next.caPem === pair.caPem) return;
    cancelHeld();
    pair = next;
    const waitMs = shown === undefined || sameAuthorities(shown.caPem, next.caPem) ? 0 : overlapOf(shown, clock.now());
    if (waitMs <= 0) show(next);
    else {
      log.info("the xDS server keeps its certificate until proxies trust the new authority", { waitMs });
      cancelHeld = clock.after(waitMs, () => show(next));
    }
  };
  const show = (next: ServingPair): void => {
    shown = next;
    options.onPair(next);
  };

  const reflector = startReflector({
    kind: REFERENCED_KINDS.Secret,
    client,
    clock,
    log,
    namespace,
    name: SERVING_CERTIFICATE,
    events: {
      onChange({ object }) {
        if (object === undefined) return; // what is served stays until there is something new
        const read = readPair(object);
        if (!read.ok) {
          log.warn("the Secret of the xDS certificate is not usable; what was served before stays", {
            namespace,
            name: SERVING_CERTIFICATE,
            error: read.message,
          });
          return;
        }
        take(read.pair);
        wake();
      },
    },
  });

  const write = async (): Promise<boolean> => {
    const wanted = certificateObject(namespace, options.issuer);
    const certificatePath = objectPath(kindInfo("Certificate"), namespace, SERVING_CERTIFICATE);
    const certificate = await client.apply(certificatePath, wanted, true, { signal: stopping.signal });
    const ca = pair === undefined ? undefined : await publishCa(pair.caPem);
    for (const [what, result] of [["Certificate", certificate] as const, ["ConfigMap", ca] as const]) {
      if (result === undefined || result.ok) continue;
      const { status, message } = result.failure;
      log.warn("an object of the xDS server could not be written", { kind: what, namespace, status, error: message });
      return false;
    }
    return true;
  };

  const publishCa = async (caPem: string) => {
    const path = objectPath(REFERENCED_KINDS.ConfigMap, namespace, CA_CONFIG_MAP);
    const got = await client.get(path, { signal: stopping.signal });
    if (!got.ok && got.failure.status !== 404) return got;
    const before = got.ok ? ((got.value["data"] ?? {}) as Readonly<Record<string, string>>)["ca.crt"] : undefined;
    const authorities = mergeAuthorities(caPem, before ?? "", clock.now());
    const object = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: CA_CONFIG_MAP, namespace, labels: { [MANAGED_BY_LABEL]: FIELD_MANAGER } },
      data: { "ca.crt": authorities },
    };
    return client.apply(path, object, true, { signal: stopping.signal });
  };

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      wakeUp = new AbortController();
      let pauseMs = CHECK_EVERY_MS;
      if (options.leads()) {
        if (await write()) backoff.reset();
        else pauseMs = backoff.next();
      }
      if (stopping.signal.aborted) break;
      await sleep(clock, pauseMs, wakeUp.signal);
    }
  };
  const running = run();

  return {
    ready: () => pair !== undefined,
    caPem: () => pair && mergeAuthorities(pair.caPem, shown?.caPem ?? "", clock.now()),
    resume: wake,
    async stop() {
      stopping.abort(new Error("stopped"));
      cancelHeld();
      wake();
      await Promise.all([running, reflector.stop()]);
    },
  };
}

/** How long the pair may still be shown in place of one of another authority. */
function overlapOf({ certPem }: ServingPair, nowMs: number): number {
  const endMs = Date.parse(new X509Certificate(certPem).validTo) - END_MARGIN_MS;
  return Math.min(OVERLAP_MS, endMs - nowMs);
}

function certificateObject(namespace: string, issuer: IssuerRef): KubeObject {
  return {
    apiVersion: "cert-manager.io/v1",
    kind: "Certificate",
    metadata: { name: SERVING_CERTIFICATE, namespace, labels: { [MANAGED_BY_LABEL]: FIELD_MANAGER } },
    spec: {
      secretName: SERVING_CERTIFICATE,
      dnsNames: [servingName(namespace)],
      duration: "24h0m0s",
      renewBefore: "8h0m0s",
      usages: ["digital signature", "server auth"],
      privateKey: { algorithm: "ECDSA", size: 256, rotationPolicy: "Always" },
      issuerRef: { group: "cert-manager.io", kind: issuer.kind, name: issuer.name },
    },
  };
}

/** The pair of a TLS Secret, when key and certificate fit together and the CA is there. */
export function readPair(
  secret: KubeObject,
): { readonly ok: true; readonly pair: ServingPair } | { readonly ok: false; readonly message: string } {
  const data = (secret["data"] ?? {}) as Readonly<Record<string, string | undefined>>;
  const text = (key: string): string => Buffer.from(data[key] ?? "", "base64").toString("utf8");
  const pair: ServingPair = { certPem: text("tls.crt"), keyPem: text("tls.key"), caPem: text("ca.crt") };
  if (pair.certPem === "" || pair.keyPem === "") return { ok: false, message: "tls.crt or tls.key is empty" };
  if (pair.caPem === "") return { ok: false, message: "ca.crt is empty: the issuer must be one that says its CA" };
  try {
    const leaf = new X509Certificate(pair.certPem);
    if (!leaf.checkPrivateKey(createPrivateKey(pair.keyPem)))
      return { ok: false, message: "tls.key is not of tls.crt" };
    new X509Certificate(pair.caPem);
  } catch (error) {
    // OpenSSL's texts name the fault, never the content.
    return { ok: false, message: errorText(error) };
  }
  return { ok: true, pair };
}
