/** The calling end of a stream between two replicas of an operator (server/replicas.ts). */
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { parseMessage, REPLICAS, type ReplicaEvents, type ReplicaLink, SHARE_PATH } from "./server/replicas.ts";

export interface ReplicaClientOptions {
  /** HOST:PORT */
  readonly address: string;
  readonly caPem: string;
  /** The name in the other's certificate. */
  readonly serverName: string;
  readonly token: string;
}

const CHANNEL_OPTIONS = {
  "grpc.keepalive_time_ms": 5_000,
  "grpc.keepalive_timeout_ms": 3_000,
  "grpc.enable_http_proxy": 0,
  "grpc.enable_channelz": 0,
  "grpc.enable_retries": 0,
  "grpc.max_receive_message_length": 8 * 1024 * 1024,
} as const;

/** Begins at once; what goes wrong is told by `onEnd`. */
export function connectReplica(options: ReplicaClientOptions, events: ReplicaEvents): ReplicaLink {
  const { address, caPem, serverName, token } = options;
  const client = new Client(address, credentials.createSsl(Buffer.from(caPem)), {
    ...CHANNEL_OPTIONS,
    "grpc.ssl_target_name_override": serverName,
    "grpc.default_authority": serverName,
  });
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  const { requestSerialize, responseDeserialize } = REPLICAS["Share"] as unknown as {
    readonly requestSerialize: (value: Buffer) => Buffer;
    readonly responseDeserialize: (value: Buffer) => Buffer;
  };
  const call = client.makeBidiStreamRequest(SHARE_PATH, requestSerialize, responseDeserialize, metadata);
  let over = false;
  const finish = (reason: string): void => {
    if (over) return;
    over = true;
    call.cancel();
    client.close();
    events.onEnd(reason);
  };
  call.on("data", (data: Buffer) => {
    if (over) return;
    try {
      events.onMessage(parseMessage(data));
    } catch (error) {
      finish(error instanceof Error ? error.message : String(error));
    }
  });
  call.on("drain", () => {
    if (!over) events.onDrain();
  });
  call.on("error", (error: Error) => finish(error.message));
  call.on("end", () => finish("the other end closed it"));
  return { send: (message) => !over && call.write(Buffer.from(JSON.stringify(message))), end: () => finish("closed") };
}
