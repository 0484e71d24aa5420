/** A real grpc-js client of the ADS server that keeps what it received and answers only when told to. */
import { create, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, credentials, Metadata, type StatusObject } from "@grpc/grpc-js";
import { descriptors } from "../src/registry.ts";
import { type JsonObject, type ResourceType, TYPE_URLS } from "../src/types.ts";
import { eventually } from "../../e2e/cluster/condition.ts";

const PACKAGE = "envoy.service.discovery.v3";
const ADS = `/${PACKAGE}.AggregatedDiscoveryService`;
const RESPONSE_LIMIT_MS = 10_000;
const bytes = (value: Buffer): Buffer => value;

export interface Received {
  readonly type: string;
  readonly nonce: string;
  readonly version: string;
  /** Name → version, delta only. */
  readonly versions: Readonly<Record<string, string>>;
  readonly resources: readonly JsonObject[];
  readonly removed: readonly string[];
}

export interface ConnectOptions {
  readonly port: number;
  readonly ca: string;
  readonly token?: string;
  readonly gateway?: string;
  readonly node?: string;
  readonly userAgent?: { readonly name: string; readonly version: readonly [number, number, number] };
  readonly protocol?: "delta" | "sotw";
}

export interface AdsClient {
  readonly received: Received[];
  status(): StatusObject | undefined;
  /** Sends a request; the node goes with the first one. */
  send(type: string, request: JsonObject): void;
  /** Delta: asks for all (no names) or for names. */
  subscribe(type: string, names?: readonly string[], versions?: Readonly<Record<string, string>>): void;
  ack(response: Received): void;
  nack(response: Received, message: string): void;
  /** Waits for the next response that was not taken yet. */
  next(type?: ResourceType): Promise<Received>;
  nextAcked(type?: ResourceType): Promise<Received>;
  ended(): Promise<StatusObject>;
  pause(): void;
  resume(): void;
  close(): void;
}

export function grpcClient({ port, ca }: { readonly port: number; readonly ca: string }): Client {
  return new Client(`127.0.0.1:${String(port)}`, credentials.createSsl(Buffer.from(ca)), {
    "grpc.ssl_target_name_override": "gatewarden.test.svc",
    "grpc.default_authority": "gatewarden.test.svc",
    "grpc.max_receive_message_length": -1,
    "grpc.use_local_subchannel_pool": 1,
  });
}

export function bearer(token: string | undefined): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

export function connect(options: ConnectOptions): AdsClient {
  const protocol = options.protocol ?? "delta";
  const [method, requestName, responseName] =
    protocol === "delta"
      ? ["DeltaAggregatedResources", "DeltaDiscoveryRequest", "DeltaDiscoveryResponse"]
      : ["StreamAggregatedResources", "DiscoveryRequest", "DiscoveryResponse"];
  const requestType = descriptors().message(`${PACKAGE}.${requestName}`);
  const responseType = descriptors().message(`${PACKAGE}.${responseName}`);
  const client = grpcClient(options);
  const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
    `${ADS}/${method}`,
    bytes,
    bytes,
    bearer(options.token ?? "good"),
  );
  const received: Received[] = [];
  let taken = 0;
  let ending: StatusObject | undefined;
  let first = true;
  call.on("data", (message: Buffer) => {
    const json = toJson(responseType, fromBinary(responseType, message), { registry: descriptors().registry });
    received.push(read(json as unknown as RawResponse));
  });
  call.on("status", (status: StatusObject) => (ending = status));
  call.on("error", () => undefined);

  const node = {
    id: options.node ?? "proxy-1",
    cluster: options.gateway ?? "shop/main",
    ...(options.userAgent === undefined
      ? {}
      : {
          userAgentName: options.userAgent.name,
          userAgentBuildVersion: {
            version: {
              majorNumber: options.userAgent.version[0],
              minorNumber: options.userAgent.version[1],
              patch: options.userAgent.version[2],
            },
          },
        }),
  };
  /** State of the world repeats the names in every request. */
  const asked = new Map<string, readonly string[]>();
  const answer = (response: Received, more: JsonObject): void => {
    const names = protocol === "sotw" ? { resourceNames: asked.get(response.type) ?? [] } : {};
    self.send(response.type, { responseNonce: response.nonce, ...names, ...more });
  };
  const urlOf = (type: string): string => (type in TYPE_URLS ? TYPE_URLS[type as ResourceType] : type);
  const self: AdsClient = {
    received,
    status: () => ending,
    send(type, request) {
      const json = { typeUrl: urlOf(type), ...(first ? { node } : {}), ...request };
      first = false;
      const message = Object.keys(json).length === 0 ? create(requestType) : fromJson(requestType, json as never);
      call.write(Buffer.from(toBinary(requestType, message)));
    },
    subscribe(type, names = [], versions = {}) {
      asked.set(urlOf(type), names);
      if (protocol === "sotw") self.send(type, { resourceNames: names });
      else self.send(type, { resourceNamesSubscribe: names, initialResourceVersions: versions });
    },
    ack: (response) => answer(response, protocol === "sotw" ? { versionInfo: response.version } : {}),
    nack: (response, message) => answer(response, { errorDetail: { code: 13, message } }),
    async next(type) {
      const end = performance.now() + RESPONSE_LIMIT_MS;
      for (; received[taken] === undefined; await new Promise((resolve) => setTimeout(resolve, 2))) {
        if (ending !== undefined) throw new Error(`stream ended: ${String(ending.code)} ${ending.details}`);
        if (performance.now() > end) throw new Error(`no response${type === undefined ? "" : ` of ${type}`}`);
      }
      const response = received[taken] as Received;
      taken += 1;
      if (type !== undefined && response.type !== TYPE_URLS[type])
        throw new Error(`expected ${type}, got ${response.type}`);
      return response;
    },
    async nextAcked(type) {
      const response = await self.next(type);
      self.ack(response);
      return response;
    },
    ended: () => eventually("the end of the stream", () => ending, { limitMs: 10_000 }),
    pause: () => call.pause(),
    resume: () => call.resume(),
    close() {
      call.cancel();
      client.close();
    },
  };
  return self;
}

interface RawResource extends JsonObject {
  readonly name: string;
  readonly version: string;
  readonly resource: JsonObject;
}

interface RawResponse {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly versionInfo?: string;
  readonly resources?: readonly RawResource[];
  readonly removedResources?: readonly string[];
}

function read(raw: RawResponse): Received {
  const wrapped = raw.resources ?? [];
  const isDelta = raw.versionInfo === undefined;
  const versions = isDelta ? Object.fromEntries(wrapped.map(({ name, version }) => [name, version])) : {};
  return {
    type: raw.typeUrl,
    nonce: raw.nonce,
    version: raw.versionInfo ?? "",
    versions,
    resources: isDelta ? wrapped.map(({ resource }) => resource) : wrapped,
    removed: raw.removedResources ?? [],
  };
}

/** The names of the resources of a response, whatever its protocol. */
export function namesOf(response: Received): string[] {
  return response.resources.map((resource) => (resource["name"] ?? resource["clusterName"]) as string).sort();
}
