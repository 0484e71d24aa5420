/** Keys of the graph made of several parts. No part of a Kubernetes name or host pattern holds a line break. */
export function joinKey(...parts: readonly string[]): string {
  return parts.join("\n");
}

export function splitKey(key: string): readonly string[] {
  return key.split("\n");
}
