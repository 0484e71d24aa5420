/** Which Secrets and ConfigMaps the shell has to keep an eye on: those that somebody reads. */
import { compareText } from "./kinds/meta.ts";
import type { Kind, ObjectKey, Output } from "./world.ts";

export interface WatchList {
  /** A key `Kind/namespace/name` is read now, or no more. */
  readonly observe: (key: string, read: boolean) => void;
  readonly take: () => Output["watch"];
}

export function createWatchList(): WatchList {
  const told = new Set<string>();
  const pending = new Map<string, boolean>();
  return {
    observe: (key, read) => void pending.set(key, read),
    take() {
      const add = [...pending].filter(([key, read]) => read && !told.has(key)).map(([key]) => key);
      const remove = [...pending].filter(([key, read]) => !read && told.has(key)).map(([key]) => key);
      pending.clear();
      for (const key of add) told.add(key);
      for (const key of remove) told.delete(key);
      return { add: add.sort(compareText).map(objectKey), remove: remove.sort(compareText).map(objectKey) };
    },
  };
}

function objectKey(key: string): ObjectKey {
  const [kind = "", namespace = "", name = ""] = key.split("/");
  return { kind: kind as Kind, namespace, name };
}
