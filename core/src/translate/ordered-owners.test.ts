import { expect, test } from "@jest/globals";
import type { Owner } from "../world.ts";
import { createOrderedOwners } from "./ordered-owners.ts";

const owner = (name: string, generation = 0): Owner => ({
  key: { kind: "ApiPolicy", namespace: "shop", name },
  uid: name,
  generation,
});
const names = (owners: readonly Owner[]): readonly string[] => owners.map(({ key }) => key.name);

test("owners come out in order whatever came, left or was renewed, and as the same list where nothing did", () => {
  const ordered = createOrderedOwners();
  const cell = new Map(["c", "a", "d"].map((name) => [name, owner(name)]));
  const first = ordered.of("jwt", cell);
  expect(names(first)).toEqual(["a", "c", "d"]);
  expect(ordered.of("jwt", cell)).toBe(first);

  cell.set("b", owner("b"));
  cell.delete("c");
  expect(names(ordered.of("jwt", cell))).toEqual(["a", "b", "d"]);
  expect(names(first)).toEqual(["a", "c", "d"]);

  const renewed = owner("a", 2);
  cell.set("a", renewed);
  expect(ordered.of("jwt", cell)[0]).toBe(renewed);

  ordered.forget("jwt");
  expect(names(ordered.of("jwt", new Map()))).toEqual([]);
});
