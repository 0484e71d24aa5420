/** Takes values of Secrets out of texts that somebody else wrote (Envoy quotes what it refuses). */
import { createHash } from "node:crypto";
import type { Change, KubeObject } from "@gatewarden/core/world.ts";

export interface Redactor {
  /** Takes in changes of Secrets; others are none of its business. Keeps references, no copies. */
  note(change: Change): void;
  redact(text: string): string;
}

/** Shorter pieces are words and numbers that stand everywhere. */
const SHORTEST = 4;
/** A line of a PEM block or of a list of passwords. */
const SHORTEST_LINE = 8;

export function createRedactor(): Redactor {
  const secrets = new Map<string, KubeObject>();
  return {
    note({ key, object }) {
      if (key.kind !== "Secret") return;
      const id = `${key.namespace}/${key.name}`;
      if (object === undefined) secrets.delete(id);
      else secrets.set(id, object);
    },
    // Decodes every known Secret: rejections are rare, and a value that is not kept decoded cannot leak.
    redact(text) {
      const pieces = new Set<string>();
      for (const secret of secrets.values()) {
        for (const encoded of Object.values((secret["data"] ?? {}) as Readonly<Record<string, string>>))
          for (const piece of piecesOf(encoded)) if (text.includes(piece)) pieces.add(piece);
      }
      let clean = text;
      for (const piece of [...pieces].sort((a, b) => b.length - a.length))
        clean = clean.replaceAll(piece, "[redacted]");
      return clean;
    },
  };
}

/** The forms in which a value may stand in a text: as it is, a line of it, base64, as a JSON string, or hashed for basic authentication. */
function piecesOf(encoded: string): readonly string[] {
  const raw = Buffer.from(encoded, "base64").toString("utf8");
  const value = raw.trim();
  if (value.length < SHORTEST) return [];
  const lines = value.split(/\r?\n/).filter((line) => line.length >= SHORTEST_LINE);
  return [
    value,
    raw,
    encoded,
    Buffer.from(value).toString("base64"),
    JSON.stringify(value).slice(1, -1),
    createHash("sha1").update(value).digest("base64"),
    ...lines,
  ];
}
