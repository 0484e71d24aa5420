/** The lowest layer of an image: one program, the shared libraries that it needs from this machine, and the few files that libc reads. */
import { spawnSync } from "node:child_process";
import { type Entry, file, library, text } from "./tree.ts";

/** The numeric user of every image; the same number as distroless's `nonroot`. */
export const USER = 65532;

/** Absolute paths of the shared libraries of a program, the loader included. Throws where one is missing. */
export function librariesOf(program: string): readonly string[] {
  const { status, stdout, stderr } = spawnSync("ldd", [program], { encoding: "utf8" });
  if (/not a dynamic executable|statically linked/.test(stdout + stderr)) return [];
  if (status !== 0) throw new Error(`ldd ${program}: ${stderr}`);
  if (stdout.includes("not found")) throw new Error(`${program} needs a library that is not here:\n${stdout}`);
  return [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path = ""]) => path).sort();
}

/** `program` of this machine as `path`, with what it needs to start. */
export function runtime(path: string, program: string): readonly Entry[] {
  const account = `nonroot:x:${String(USER)}:${String(USER)}:nonroot:/home/nonroot:/sbin/nologin\n`;
  return [
    file(path, program, true),
    ...librariesOf(program).flatMap(library),
    // Without it glibc asks DNS only after files it has not got; with it, `localhost` works.
    text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    text("etc/passwd", `root:x:0:0:root:/root:/sbin/nologin\n${account}`),
    text("etc/group", `root:x:0:\nnonroot:x:${String(USER)}:\n`),
    { kind: "folder", path: "home/nonroot" },
    { kind: "folder", path: "tmp" },
  ];
}
