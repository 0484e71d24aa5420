/** The authorities that proxies trust, as one PEM bundle: the newest first, and those before it for as long as they may be needed. */
import { X509Certificate } from "node:crypto";

/** The newest, and those that something may still be signed with. */
const MOST_AUTHORITIES = 3;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Certificates of a bundle, without text around them. */
export function certificatesOf(pem: string): readonly string[] {
  return [...pem.matchAll(CERTIFICATE)].map(([text]) => text.replaceAll("\r", ""));
}

/**
 * `newest` first, then what was trusted before, each once. Left out is what has expired, cannot be read or is too much: an authority is
 * trusted on after a change because certificates that it signed are still shown.
 */
export function mergeAuthorities(newest: string, before: string, nowMs: number): string {
  const first = certificatesOf(newest);
  const others = certificatesOf(before).filter((text) => !first.includes(text) && isCurrent(text, nowMs));
  return [...first, ...new Set(others)].slice(0, Math.max(first.length, MOST_AUTHORITIES)).join("\n") + "\n";
}

function isCurrent(text: string, nowMs: number): boolean {
  try {
    return Date.parse(new X509Certificate(text).validTo) > nowMs;
  } catch {
    return false;
  }
}

/** Whether both name the same authorities. */
export function sameAuthorities(a: string, b: string): boolean {
  return certificatesOf(a).join() === certificatesOf(b).join();
}
