import { describe, expect, it } from "@jest/globals";
import { whyStay } from "./netns.ts";

describe("the network of a test run", () => {
  it.each([undefined, "", "local", "node"])("is a namespace of its own with DRIVER=%s", (driver) => {
    expect(whyStay(driver, undefined)).toBeUndefined();
  });

  it.each(["kind", "existing"])("stays the machine's with DRIVER=%s, whose cluster is outside", (driver) => {
    expect(whyStay(driver, undefined)).toContain(`DRIVER=${driver}`);
    expect(whyStay(driver, "needs root")).toContain(`DRIVER=${driver}`);
  });

  it("stays the machine's where no namespace can be made, and says why", () => {
    expect(whyStay("local", "making a network namespace needs root")).toBe("making a network namespace needs root");
  });
});
