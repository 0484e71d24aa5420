/** Every code that we send is in the table, and every code of the table is explained. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { codes } from "./codes.ts";

const listed = codes.map(({ code }) => code);

test("no code stands for two things", () => {
  expect(listed.filter((code, at) => listed.indexOf(code) !== at)).toEqual([]);
});

test("what the sources send is listed", () => {
  const sources = readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith(".ts") && !name.endsWith(".test.ts") && name !== "codes.ts",
  );
  const sent = sources.flatMap(
    (name) => readFileSync(`${import.meta.dirname}/${name}`, "utf8").match(/GW-[A-Z]+-\d{3}/g) ?? [],
  );
  expect([...new Set(sent)].filter((code) => !listed.includes(code))).toEqual([]);
  expect(sent.length).toBeGreaterThan(10);
});

test("docs/codes.md has a section for each, in the same order", () => {
  const page = readFileSync(`${import.meta.dirname}/../../docs/codes.md`, "utf8");
  expect([...page.matchAll(/^## (.*)$/gm)].map(([, code]) => code)).toEqual(listed);
  for (const { meaning } of codes) expect(page).toContain(meaning);
});
