import { readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";
import { generatedFiles } from "../src/generate.ts";

describe("generated files", () => {
  it.each(generatedFiles().map(({ path, content }) => [path, content]))(
    "%s is what the schemas make",
    (path, content) => {
      expect(readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")).toBe(content);
    },
  );

  it.each(
    generatedFiles()
      .filter(({ path }) => path.endsWith(".yaml"))
      .map(({ path, content }) => [path, content]),
  )("%s stays below 100 KiB and holds no default", (_, content) => {
    expect(Buffer.byteLength(content)).toBeLessThan(100 * 1024);
    expect(content).not.toMatch(/\bdefault:/);
  });
});
