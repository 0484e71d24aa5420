/**
 * The key sets that the shell has to keep fetched: those that somebody reads. A backend is told by the address of a ready endpoint (the
 * shell need not resolve cluster names); the set keeps its id when that changes.
 */
import { compareText } from "./kinds/meta.ts";
import type { Effects, Graph } from "./memo.ts";
import type { Objects } from "./objects.ts";
import { readyAddresses } from "./translate/cluster.ts";
import type { JwksSource, Output } from "./world.ts";

export interface JwksSources {
  readonly observe: (id: string, read: boolean) => void;
  /** What `id` stands for; said before it is read. */
  readonly declare: (source: JwksSource) => void;
  readonly take: () => Output["jwks"];
}

/** After the stages that read key sets. */
const RANK = 3;

/** `objects` is asked late: the store of objects is made with `observe` already in hand. */
export function createJwksSources(
  graph: Graph,
  objects: () => Pick<Objects, "services" | "slices" | "slicesByService">,
): JwksSources {
  const declared = new Map<string, JwksSource>();
  const told = new Map<string, string>(); // text by id
  const add = new Map<string, JwksSource>();
  const remove = new Set<string>();

  const sources: Effects = graph.effects(
    "jwks",
    RANK,
    (id) => {
      const source = declared.get(id);
      if (source === undefined) return;
      const dialled =
        source.backend === undefined ? source : { ...source, backend: address(source.backend, objects()) };
      const text = JSON.stringify(dialled);
      const before = told.get(id);
      if (before === text) return;
      if (before !== undefined) remove.add(id); // the shell starts over with the new address
      told.set(id, text);
      add.set(id, dialled);
    },
    (id) => {
      declared.delete(id);
      add.delete(id);
      if (told.delete(id)) remove.add(id);
    },
  );

  return {
    observe(id, read) {
      if (read) sources.add(id);
      else sources.remove(id);
    },
    declare: (source) => void declared.set(source.id, source),
    take() {
      const taken = {
        add: [...add.values()].sort((a, b) => compareText(a.id, b.id)),
        remove: [...remove].sort(compareText),
      };
      add.clear();
      remove.clear();
      return taken;
    },
  };
}

/** A ready endpoint of the Service that `host` (`name.namespace.svc`) names; the name itself while there is none. */
function address(
  backend: NonNullable<JwksSource["backend"]>,
  objects: Pick<Objects, "services" | "slices" | "slicesByService">,
): NonNullable<JwksSource["backend"]> {
  const [name = "", namespace = ""] = backend.host.split(".");
  const service = `${namespace}/${name}`;
  const port = objects.services.get(service)?.ports.find((one) => one.port === backend.port);
  if (port === undefined) return backend;
  const slices = [...objects.slicesByService.get(service).keys()].flatMap((id) => objects.slices.get(id) ?? []);
  return readyAddresses(port, slices)[0] ?? backend;
}
