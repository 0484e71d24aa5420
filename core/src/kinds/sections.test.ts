import { expect, it } from "@jest/globals";
import { celRules } from "../schema/rule.ts";
import { slices } from "../slices.ts";
import { specSchema } from "./api-policy.ts";
import { SECTIONS } from "./sections.ts";

it("parses, describes and translates the same sections", () => {
  const keys = Object.keys(SECTIONS).toSorted();
  expect(slices.map(({ key }) => key).toSorted()).toEqual(keys);
  const own = ["targetRefs", "mode", "failurePolicy", "precedence"];
  expect(Object.keys(specSchema().shape).toSorted()).toEqual([...keys, ...own].toSorted());
  for (const slice of slices) expect(celRules(slice.schema())).toEqual(celRules(SECTIONS[slice.key]()));
});
