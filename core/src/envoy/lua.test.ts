import { expect, it } from "@jest/globals";
import { slotFault } from "../translate/chain.ts";
import { hideParameters } from "./collect.ts";
import { awake } from "./lua.ts";
import { LUA_PER_ROUTE } from "./type-url.ts";

it("finds per-route Lua that would run no script", () => {
  expect(slotFault("collect-post", hideParameters(["token"]))).toBeUndefined();
  expect(slotFault("recognise", awake())).toBeUndefined();
  expect(slotFault("collect-post", { "@type": LUA_PER_ROUTE, filter_context: { hidden: ["token"] } })).toMatch(
    /would run no script/,
  );
  expect(slotFault("collect", { "@type": LUA_PER_ROUTE, name: "off" })).toMatch(/would run no script/);
});
