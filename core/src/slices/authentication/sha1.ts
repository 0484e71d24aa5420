/** SHA-1 as Envoy's basic_auth wants it: the only hash that it knows (`{SHA}` of htpasswd). */
import { hash } from "node:crypto";

export function sha1Base64(text: string): string {
  return hash("sha1", text, "base64");
}
