#!/usr/bin/env node
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `gatewarden needs Node 22.19 or newer, and this is ${process.versions.node}: use npx gatewarden\n`,
  );
  process.exit(2);
}
let command;
try {
  // By its own name: dist/ for users, and the sources with --conditions=source.
  command = await import("gatewarden/main.ts");
} catch (error) {
  if (error.code !== "ERR_MODULE_NOT_FOUND" || !String(error.message).includes("/dist/")) throw error;
  process.stderr.write("gatewarden is not built: npm run build\n");
  process.exit(2);
}
process.exitCode = await command.main(process.argv.slice(2));
