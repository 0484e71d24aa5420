/** Secrets and ConfigMaps as bytes by key. */
import type { KubeObject } from "../../world.ts";
import { textMap } from "../json.ts";

/** Undecoded until a key is asked for; compared by content. */
export interface StoredValues {
  readonly denied: boolean;
  readonly base64: Readonly<Record<string, string>>;
  readonly plain: Readonly<Record<string, string>>;
}

export function parseSecret(object: KubeObject): StoredValues {
  return { denied: false, base64: textMap(object["data"]), plain: textMap(object["stringData"]) };
}

export function parseConfigMap(object: KubeObject): StoredValues {
  return { denied: false, base64: textMap(object["binaryData"]), plain: textMap(object["data"]) };
}

export const deniedValues: StoredValues = { denied: true, base64: {}, plain: {} };

export function valueOf(stored: StoredValues, key: string): Uint8Array | undefined {
  const plain = Object.hasOwn(stored.plain, key) ? stored.plain[key] : undefined;
  if (plain !== undefined) return Buffer.from(plain, "utf8");
  const encoded = Object.hasOwn(stored.base64, key) ? stored.base64[key] : undefined;
  return encoded === undefined ? undefined : Buffer.from(encoded, "base64");
}
