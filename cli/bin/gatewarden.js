#!/usr/bin/env node
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`gatewarden needs Node 22.19 or newer; this is ${process.versions.node} (npx gatewarden brings its own)\n`);
  process.exit(2);
}
const { main } = await import("gatewarden/main.ts").catch((error) => {
  if (error.code !== "ERR_MODULE_NOT_FOUND" || !String(error.message).includes("cli/dist/main.js")) throw error;
  process.stderr.write("gatewarden is not built: npm run build\n");
  process.exit(2);
});
process.exit(await main(process.argv.slice(2)));
