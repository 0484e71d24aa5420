/**
 * Cluster DNS for the node driver: A records of Services, asked of the API server at each question, so there is nothing to be out of date.
 * `NAME.NAMESPACE.svc.cluster.local`; headless Services answer with their ready endpoints. Everything else does not exist: pods of tests have
 * nothing to look for outside.
 */
import { createSocket } from "node:dgram";

/** Addresses of a Service: undefined where there is no such Service, empty where it has no endpoints. */
export type Lookup = (name: string, namespace: string) => Promise<readonly string[] | undefined>;

export interface DnsServer {
  readonly stop: () => Promise<void>;
}

export const CLUSTER_DOMAIN = "cluster.local";
const PORT = 53;
const TTL_S = 1;
const TYPE_A = 1;
const ANSWER = { ok: 0, failed: 2, noSuchName: 3 } as const;

/** Listens on UDP port 53 of `address`. Rejects when the port cannot be had. */
export async function startDns(address: string, lookup: Lookup): Promise<DnsServer> {
  const socket = createSocket("udp4");
  socket.on("message", (message, peer) => {
    void answer(message, lookup).then((reply) => {
      if (reply !== undefined) socket.send(reply, peer.port, peer.address);
    });
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(PORT, address, resolve);
  });
  socket.on("error", () => undefined); // one datagram that could not be sent
  return { stop: () => new Promise((resolve) => socket.close(resolve)) };
}

/** The reply to one message (RFC 1035); undefined for what is no question. */
export async function answer(message: Buffer, lookup: Lookup): Promise<Buffer | undefined> {
  const question = readQuestion(message);
  if (question === undefined) return undefined;
  const labels = question.name.toLowerCase().split(".");
  const [name = "", namespace = "", ...rest] = labels;
  if (rest.join(".") !== `svc.${CLUSTER_DOMAIN}`) return reply(message, question, ANSWER.noSuchName, []);
  try {
    const addresses = await lookup(name, namespace);
    if (addresses === undefined) return reply(message, question, ANSWER.noSuchName, []);
    // A name that exists and has no record of this type: no error, no answer.
    return reply(message, question, ANSWER.ok, question.type === TYPE_A ? addresses : []);
  } catch {
    return reply(message, question, ANSWER.failed, []);
  }
}

interface Question {
  readonly name: string;
  readonly type: number;
  /** Where the question's section ends. */
  readonly end: number;
}

function readQuestion(message: Buffer): Question | undefined {
  if (message.length < 17 || message.readUInt16BE(4) !== 1 || (message.readUInt8(2) & 0x80) !== 0) return undefined;
  const labels: string[] = [];
  let at = 12;
  for (;;) {
    const length = message.at(at);
    if (length === undefined || length > 63) return undefined;
    at += 1;
    if (length === 0) break;
    labels.push(message.toString("latin1", at, at + length));
    at += length;
  }
  if (at + 4 > message.length) return undefined;
  return { name: labels.join("."), type: message.readUInt16BE(at), end: at + 4 };
}

function reply(message: Buffer, question: Question, code: number, addresses: readonly string[]): Buffer {
  const head = Buffer.alloc(12);
  message.copy(head, 0, 0, 2);
  // An authoritative answer; recursion is said to be available, or some resolvers ask elsewhere.
  head.writeUInt16BE(0x8480 | (message.readUInt16BE(2) & 0x0100) | code, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(addresses.length, 6);
  const records = addresses.map((address) => {
    const record = Buffer.alloc(16);
    record.writeUInt16BE(0xc00c, 0); // the name of the question
    record.writeUInt16BE(TYPE_A, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(TTL_S, 6);
    record.writeUInt16BE(4, 10);
    Buffer.from(address.split(".").map(Number)).copy(record, 12);
    return record;
  });
  return Buffer.concat([head, message.subarray(12, question.end), ...records]);
}
