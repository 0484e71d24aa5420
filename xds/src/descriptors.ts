/**
 * Envoy's descriptor set, read as far as it is needed: an index of names over the raw bytes, and one file's descriptors (with those
 * that it imports) at the first question for a type of it. The whole set as descriptors would take tens of megabytes.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { createFileRegistry, type DescFile, type DescMessage, fromBinary, type Registry } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

/** One RPC as far as a server needs it to be registered. */
export interface Method {
  readonly service: string;
  readonly name: string;
  readonly clientStreaming: boolean;
  readonly serverStreaming: boolean;
}

export interface Descriptors {
  /** Looks types up for JSON's `@type`; loads what it has to. */
  readonly registry: Registry;
  /** Throws for a name that Envoy's API does not have. */
  readonly message: (typeName: string) => DescMessage;
  /** Every RPC of every service whose full name starts with `prefix`. */
  readonly methods: (prefix: string) => readonly Method[];
  /** How many files have been loaded. */
  readonly loaded: () => number;
}

const SET = new URL("../proto/envoy-1.40.0.binpb.gz", import.meta.url);

// Field numbers of google/protobuf/descriptor.proto.
const SET_FILE = 1;
const FILE = { name: 1, package: 2, messageType: 4, service: 6 } as const;
const SERVICE = { name: 1, method: 2 } as const;
const METHOD = { name: 1, clientStreaming: 5, serverStreaming: 6 } as const;

/** Reads the committed set; once per process is enough. */
export function readDescriptors(): Descriptors {
  const files = new Map<string, Uint8Array>();
  const fileOfMessage = new Map<string, string>();
  const methods: Method[] = [];
  for (const bytes of fieldsOf(gunzipSync(readFileSync(SET)), SET_FILE)) {
    const fileName = textOf(bytes, FILE.name);
    const scope = textOf(bytes, FILE.package);
    files.set(fileName, bytes);
    for (const message of fieldsOf(bytes, FILE.messageType))
      fileOfMessage.set(`${scope}.${textOf(message, 1)}`, fileName);
    for (const service of fieldsOf(bytes, FILE.service)) methods.push(...methodsOf(`${scope}.`, service));
  }

  const loaded = new Map<string, DescFile>();
  const load = (fileName: string): DescFile | undefined => {
    const known = loaded.get(fileName);
    const bytes = files.get(fileName);
    if (known !== undefined || bytes === undefined) return known;
    const file = createFileRegistry(fromBinary(FileDescriptorProtoSchema, bytes), load).getFile(fileName);
    if (file !== undefined) loaded.set(fileName, file);
    return file;
  };
  const messages = new Map<string, DescMessage>();
  const find = (typeName: string): DescMessage | undefined => {
    const known = messages.get(typeName);
    if (known !== undefined) return known;
    const found = findMessage(load(fileOfMessage.get(outermost(typeName, fileOfMessage)) ?? ""), typeName);
    if (found !== undefined) messages.set(typeName, found);
    return found;
  };
  return {
    registry: registryOf(find),
    message(typeName) {
      const found = find(typeName);
      if (found === undefined) throw new Error(`Envoy's API has no message ${typeName}`);
      return found;
    },
    methods: (prefix) => methods.filter(({ service }) => service.startsWith(prefix)),
    loaded: () => loaded.size,
  };
}

/** Only messages are ever looked up by name: `Any` holds nothing else, and Envoy's JSON has no extensions. */
function registryOf(find: (typeName: string) => DescMessage | undefined): Registry {
  return {
    kind: "registry",
    [Symbol.iterator]: () => [][Symbol.iterator](),
    get: find,
    getMessage: find,
    getEnum: () => undefined,
    getExtension: () => undefined,
    getExtensionFor: () => undefined,
    getService: () => undefined,
  };
}

function findMessage(file: DescFile | undefined, typeName: string): DescMessage | undefined {
  const search = (messages: readonly DescMessage[]): DescMessage | undefined => {
    for (const message of messages) {
      if (message.typeName === typeName) return message;
      if (typeName.startsWith(`${message.typeName}.`)) return search(message.nestedMessages);
    }
    return undefined;
  };
  return file === undefined ? undefined : search(file.messages);
}

/** The name of the top-level message that `typeName` is, or is nested in. */
function outermost(typeName: string, known: ReadonlyMap<string, string>): string {
  let name = typeName;
  while (!known.has(name) && name.includes(".")) name = name.slice(0, name.lastIndexOf("."));
  return name;
}

function methodsOf(scope: string, service: Uint8Array): Method[] {
  const name = scope + textOf(service, SERVICE.name);
  return fieldsOf(service, SERVICE.method).map((method) => ({
    service: name,
    name: textOf(method, METHOD.name),
    clientStreaming: isSet(method, METHOD.clientStreaming),
    serverStreaming: isSet(method, METHOD.serverStreaming),
  }));
}

/** The length-delimited values of one field, as views of `bytes`. */
function fieldsOf(bytes: Uint8Array, wanted: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted && type === WireType.LengthDelimited) found.push(reader.bytes());
    else reader.skip(type, field);
  }
  return found;
}

function textOf(bytes: Uint8Array, field: number): string {
  return Buffer.from(fieldsOf(bytes, field)[0] ?? []).toString("utf8");
}

function isSet(bytes: Uint8Array, wanted: number): boolean {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted && type === WireType.Varint) return reader.bool();
    reader.skip(type, field);
  }
  return false;
}
