#!/usr/bin/env node
import module from "node:module";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `gatewarden needs Node 22.19 or newer, and this is ${process.versions.node}: use npx gatewarden\n`,
  );
  process.exit(2);
}
const [name, ...args] = process.argv.slice(2);
let run;
try {
  // By their own names: dist/ for users, and the sources with --conditions=source.
  if (["simulate", "explain", "lint", "score", "diff", "test", "status"].includes(name)) {
    // They end as soon as they have answered: most of their time was compiling. Where the cache cannot be written they do without.
    module.enableCompileCache();
    const look = await (await import("gatewarden/looking.ts")).looking(name);
    run = () => look(args);
  } else {
    const { main } = await import("gatewarden/main.ts");
    run = () => main([name, ...args].filter((arg) => arg !== undefined));
  }
} catch (error) {
  if (error.code !== "ERR_MODULE_NOT_FOUND" || !String(error.message).includes("/dist/")) throw error;
  process.stderr.write("gatewarden is not built: npm run build\n");
  process.exit(2);
}
process.exitCode = await run();
