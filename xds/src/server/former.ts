/**
 * Names of resources that were there and are not any more. A proxy that took its first configuration from a server that stands in does not say
 * which resources it has when it comes here, so it is told of all that it could have and should not (server.ts, `firstConfigurationOnly`).
 */
import { RESOURCE_TYPES, type ResourceType } from "../types.ts";

export interface Former {
  add(type: ResourceType, name: string): void;
  delete(type: ResourceType, name: string): void;
  names(type: ResourceType): Iterable<string>;
}

/** Per type; the oldest are forgotten, and by then nobody starts from them any more. */
const MOST_NAMES = 4_096;

export function createFormer(): Former {
  const byType = new Map(RESOURCE_TYPES.map((type) => [type, new Set<string>()]));
  return {
    add(type, name) {
      const names = byType.get(type) ?? new Set<string>();
      names.delete(name);
      names.add(name);
      for (const oldest of names) {
        if (names.size <= MOST_NAMES) break;
        names.delete(oldest);
      }
    },
    delete: (type, name) => void byType.get(type)?.delete(name),
    names: (type) => byType.get(type) ?? [],
  };
}
