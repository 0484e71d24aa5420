/** Names of claims as manifests write them. */

/** `.` reaches into objects; a name like `https://corp.test/department` (OpenID Connect's way to keep names apart) is one segment. */
export function claimPath(claim: string): readonly string[] {
  return isWholeName(claim) ? [claim] : claim.split(".");
}

/** Whether it is the name of a claim as it stands, dots included. */
export function isWholeName(claim: string): boolean {
  return claim.includes("://");
}
