/** Sinks as access logs of the listener; which calls, headers and fields as metadata of the route. */
import { collectHeaders } from "../../envoy/collect.ts";
import { ACCESS_LOGGER } from "../../envoy/type-url.ts";
import type { ListenerContext, ListenerPiece, RouteContext, RoutePiece } from "../../slice.ts";
import type { JsonObject, JsonValue } from "../../world.ts";
import { isCredential } from "./masking.ts";
import type { Model, Sink } from "./model.ts";
import { RECORDED, recordOf } from "./record.ts";

export function listener({ sinks }: Model, { gateway, logDirectory }: ListenerContext): ListenerPiece {
  const record = recordOf(`${gateway.namespace}/${gateway.name}`);
  return { accessLogs: sinks.map((sink) => accessLog(sink, record, logDirectory)) };
}

function accessLog(sink: Sink, record: JsonObject, logDirectory: string): JsonObject {
  return {
    name: `log-${sink.name}`,
    filter: {
      extension_filter: {
        name: "recorded",
        typed_config: { "@type": `${ACCESS_LOGGER}.filters.cel.v3.ExpressionFilter`, expression: RECORDED },
      },
    },
    typed_config: loggerOf(sink, record, logDirectory),
  };
}

function loggerOf(sink: Sink, record: JsonObject, logDirectory: string): JsonObject {
  const format = { json_format: record, omit_empty_values: true };
  switch (sink.type) {
    case "Stdout":
      return { "@type": `${ACCESS_LOGGER}.stream.v3.StdoutAccessLog`, log_format: format };
    case "File":
      // The schema keeps the name inside the directory; nothing here may undo that.
      return {
        "@type": `${ACCESS_LOGGER}.file.v3.FileAccessLog`,
        path: `${logDirectory}/${sink.file}`,
        log_format: format,
      };
    case "OTLP":
      return otlp(sink, record);
  }
}

/** The record's members as attributes. Records leave at once or are lost: OTLP is no audit trail. */
function otlp({ cluster, authority }: Extract<Sink, { type: "OTLP" }>, record: JsonObject): JsonObject {
  return {
    "@type": `${ACCESS_LOGGER}.open_telemetry.v3.OpenTelemetryAccessLogConfig`,
    // Without it the authority would be the cluster's name, which is no host name: servers refuse that.
    grpc_service: { envoy_grpc: { cluster_name: cluster, authority }, timeout: "5s" },
    log_name: "gatewarden",
    resource_attributes: {
      values: [attribute("service.name", "gatewarden"), attribute("gateway", record["gateway"] ?? "")],
    },
    body: { string_value: "%REQ(:METHOD)% %PATH(NQ:ORIG_OR_PATH)% %RESPONSE_CODE%" },
    attributes: { values: Object.entries(record).flatMap(([key, value]) => attributesOf(key, value)) },
    buffer_flush_interval: "1s",
  };
}

function attributesOf(key: string, value: JsonValue): readonly JsonObject[] {
  if (typeof value === "string") return [attribute(key, value)];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value as JsonObject).flatMap(([inner, child]) => attributesOf(`${key}.${inner}`, child));
}

function attribute(key: string, value: JsonValue): JsonObject {
  return { key, value: { string_value: value } };
}

export function route(
  { calls, sampling, headers, fields }: Model,
  { credentialHeaders = [], sources }: RouteContext,
): RoutePiece {
  const masked = (header: string): boolean => isCredential(header) || credentialHeaders.includes(header.toLowerCase());
  const successes = calls === "All";
  const log = {
    failed: calls === "All" || calls === "Errors",
    denied: calls !== "None",
    all: successes && sampling === 100,
    // Compared with the request id, whose first digits are random: "8" is half of them.
    sampled: successes && sampling < 100 ? threshold(sampling) : "",
    ...(Object.keys(fields).length === 0 ? {} : { fields }),
  };
  return {
    metadata: { log, logging: [...new Set(sources.map(({ text }) => text))].join(", ") },
    ...(headers.length === 0 ? {} : { slots: { collect: collectHeaders(headers, masked) } }),
  };
}

/** The request ids below this text are so many percent; none where nothing is sampled. */
function threshold(percent: number): string {
  return percent === 0
    ? ""
    : Math.round((percent / 100) * 0x1_0000_0000)
        .toString(16)
        .padStart(8, "0");
}
