/**
 * The commands that look at manifests as one file (dist/bundle/): Node finds, reads and compiles some 300 modules more slowly than they work.
 * Part of `npm run build`. What a command may never need stays outside and is loaded when it is: clients of clusters, the CEL library.
 */
import { build } from "esbuild";

await build({
  absWorkingDir: import.meta.dirname,
  entryPoints: ["src/looking.ts"],
  outdir: "dist/bundle",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node22.19",
  conditions: ["source"],
  external: ["@kubernetes/client-node", "undici", "@grpc/grpc-js"],
  minifySyntax: true,
  minifyWhitespace: true, // names stay, so that the stack of a fault can be read
  // `yaml` is CommonJS and asks for Node's own modules.
  banner: { js: 'import{createRequire as requireFrom}from"node:module";const require=requireFrom(import.meta.url);' },
  legalComments: "none",
  logLevel: "warning",
});
