/** A tar (POSIX ustar) whose bytes are a function of the entries: times are 0, owners are root. */
import type { Entry } from "./tree.ts";

const BLOCK = 512;
const TYPES = { file: "0", link: "2", folder: "5" } as const;

/** Throws on a path or link that ustar cannot hold (100 bytes, or 155 before a slash and 100 behind it). */
export function tar(entries: readonly Entry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    parts.push(header(entry));
    if (entry.kind !== "file") continue;
    parts.push(entry.content, Buffer.alloc(padding(entry.content.length)));
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function padding(length: number): number {
  return (BLOCK - (length % BLOCK)) % BLOCK;
}

function header(entry: Entry): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, offset: number, width: number): void =>
    void block.write(`${value.toString(8).padStart(width - 1, "0")}\0`, offset, "latin1");
  const { name, prefix } = split(entry.kind === "folder" ? `${entry.path}/` : entry.path);
  block.write(name, 0, 100, "utf8");
  octal(entry.kind === "file" && !entry.executable ? 0o644 : 0o755, 100, 8);
  octal(0, 108, 8); // owner
  octal(0, 116, 8); // group
  octal(entry.kind === "file" ? entry.content.length : 0, 124, 12);
  octal(0, 136, 12); // time
  block.write("        ", 148, "latin1"); // the sum counts itself as spaces
  block.write(TYPES[entry.kind], 156, "latin1");
  if (entry.kind === "link") {
    if (Buffer.byteLength(entry.target) > 100) throw new Error(`too long for a tar: link to ${entry.target}`);
    block.write(entry.target, 157, 100, "utf8");
  }
  block.write("ustar\x0000", 257, "latin1");
  block.write(prefix, 345, 155, "utf8");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function split(path: string): { readonly name: string; readonly prefix: string } {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: "" };
  for (let slash = path.indexOf("/"); slash > 0 && slash < path.length - 1; slash = path.indexOf("/", slash + 1)) {
    const [prefix, name] = [path.slice(0, slash), path.slice(slash + 1)];
    if (Buffer.byteLength(prefix) <= 155 && Buffer.byteLength(name) <= 100) return { name, prefix };
  }
  throw new Error(`too long for a tar: ${path}`);
}
