/** Content hashes: short, stable names of what something contains. */
import { hash } from "node:crypto";

export function contentHash(content: unknown): string {
  return hash("sha256", typeof content === "string" ? content : JSON.stringify(content), "hex").slice(0, 16);
}
