/** Envoys that have known authorization bypasses get no configuration (rule A17). */

/** The first safe patch of each minor version; older minors have none, newer ones need none. */
export const SAFE_PATCH: Readonly<Record<string, number>> = { "1.36": 10, "1.37": 6, "1.38": 4 };
const FIRST_SAFE_MINOR = 39;
const FLOOR = "1.38.4, 1.37.6 or 1.36.10";

/** Why this proxy is turned away; undefined where it may come. Only an Envoy without a version is suspect: other clients have none. */
export function vulnerability(userAgent: string, version: string): string | undefined {
  if (version === "" && userAgent !== "envoy") return undefined;
  const parts = /^(\d+)\.(\d+)\.(\d+)/.exec(version);
  const [major, minor, patch] = (parts ?? []).slice(1).map(Number);
  if (major === undefined || minor === undefined || patch === undefined) {
    return `Envoy does not say its version; ${FLOOR} or newer is needed`;
  }
  const safe =
    major > 1 ||
    (major === 1 && (minor >= FIRST_SAFE_MINOR || patch >= (SAFE_PATCH[`1.${String(minor)}`] ?? Infinity)));
  return safe ? undefined : `Envoy ${version} has known authorization bypasses; ${FLOOR} or newer is needed`;
}
