/** Which Secrets, ConfigMaps and key sets the shell has to keep an eye on: those that somebody reads. */
import { compareText } from "./kinds/meta.ts";
import type { JwksSource, Kind, ObjectKey, Output } from "./world.ts";

export interface WatchList {
  readonly observers: {
    readonly value: (key: string, read: boolean) => void;
    readonly jwks: (id: string, read: boolean) => void;
  };
  source(source: JwksSource): void;
  take(): Pick<Output, "watch" | "jwks">;
}

export function createWatchList(): WatchList {
  const values = createDifference();
  const jwks = createDifference();
  const sources = new Map<string, JwksSource>();
  return {
    observers: { value: values.observe, jwks: jwks.observe },
    source: (source) => void sources.set(source.id, source),
    take() {
      const changedValues = values.take();
      const changedJwks = jwks.take();
      const add = changedJwks.add.flatMap((id) => sources.get(id) ?? []);
      for (const id of changedJwks.remove) sources.delete(id);
      return {
        watch: { add: changedValues.add.map(objectKey), remove: changedValues.remove.map(objectKey) },
        jwks: { add, remove: changedJwks.remove },
      };
    },
  };
}

interface Difference {
  observe(key: string, read: boolean): void;
  take(): { readonly add: readonly string[]; readonly remove: readonly string[] };
}

function createDifference(): Difference {
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
      return { add: add.sort(compareText), remove: remove.sort(compareText) };
    },
  };
}

function objectKey(key: string): ObjectKey {
  const [kind = "", namespace = "", name = ""] = key.split("/");
  return { kind: kind as Kind, namespace, name };
}
