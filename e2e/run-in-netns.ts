/** `node e2e/run-in-netns.ts -- COMMAND …`: runs a command in a network namespace of its own (cluster/netns.ts). */
import { runInNamespace } from "./cluster/netns.ts";

const USAGE = "usage: node e2e/run-in-netns.ts -- COMMAND [ARGUMENT…]";
const words = process.argv.slice(2);
const command = words[0] === "--" ? words.slice(1) : words;
if (command.length === 0) {
  console.error(USAGE);
  process.exitCode = 2;
} else {
  process.exitCode = await runInNamespace(command, (line) => console.error(`netns: ${line}`));
}
