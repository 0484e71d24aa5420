/** How replicas of one operator speak to each other: a stream of JSON messages beside ADS, behind the same gate, for their own account only. */
import { type ServiceDefinition, status } from "@grpc/grpc-js";
import type { JsonObject } from "../types.ts";
import { type Call, CallError, endingOf, type Gate, type Identity } from "./gate.ts";

export const SHARE_PATH = "/gatewarden.Replicas/Share";

const bytes = (value: Buffer): Buffer => value;

export const REPLICAS: ServiceDefinition = {
  Share: {
    path: SHARE_PATH,
    requestStream: true,
    responseStream: true,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  },
};

/** One end of a stream between two replicas. */
export interface ReplicaLink {
  /** False: the other end reads too slowly; `onDrain` says when to go on. */
  send(message: JsonObject): boolean;
  end(): void;
}

export interface ReplicaEvents {
  readonly onMessage: (message: JsonObject) => void;
  readonly onDrain: () => void;
  /** Called once, whoever ended it. */
  readonly onEnd: (reason: string) => void;
}

/** Called for each replica that connects; answers what is to hear of it. */
export type AcceptReplica = (link: ReplicaLink) => ReplicaEvents;

/** The serving end. Proxies, which are known too, are refused. */
export function serveReplicas(accept: AcceptReplica | undefined, gate: Gate) {
  return (call: Call, identity: Identity): void => {
    const refuse = (error: unknown): void => gate.refuse(endingOf(call), error);
    if (accept === undefined || identity.replica !== true) {
      refuse(new CallError(status.PERMISSION_DENIED, "only for replicas of this operator"));
      return;
    }
    let over = false;
    const link: ReplicaLink = {
      send: (message) => !over && call.write(Buffer.from(JSON.stringify(message))),
      end: () => {
        if (!over) call.end();
      },
    };
    const events = accept(link);
    const finish = (reason: string): void => {
      if (over) return;
      over = true;
      events.onEnd(reason);
    };
    call.on("data", (data: Buffer) => {
      if (over) return;
      try {
        events.onMessage(parseMessage(data));
      } catch (error) {
        finish("a message that is not understood");
        refuse(error);
      }
    });
    call.on("drain", events.onDrain);
    call.on("end", () => {
      finish("the other end closed it");
      call.end();
    });
    for (const event of ["cancelled", "close", "error"]) call.on(event, () => finish(event));
  };
}

/** Throws where the bytes are no JSON object. */
export function parseMessage(data: Buffer): JsonObject {
  const message = JSON.parse(data.toString("utf8")) as unknown;
  if (typeof message !== "object" || message === null || Array.isArray(message)) throw new Error("not a JSON object");
  return message as JsonObject;
}
