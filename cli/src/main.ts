/** `gatewarden COMMAND …`: finds the command; each loads its own parts only. */
import { looking } from "./looking.ts";

const USAGE = `gatewarden COMMAND [flags]

  operator    watches a cluster and configures its proxies
  fallback    gives new proxies their first configuration while no operator runs
  bootstrap   prints the bootstrap of a proxy
  drain       beside a proxy in its pod: ends its connections in time
  translate   offline: what each proxy would get, and each object's status
  run         offline: serves manifests from a folder to an Envoy that it starts

Of manifests (-f) or of a cluster:
  simulate    what happens to a request, stage by stage, without sending it
  explain     which policies hold for a request, section by section
  lint        misconfigurations that are legal and dangerous
  score       a number per API
  status      how every object stands
  diff        who gains and who loses access
  test        runs expectations of what policies do

gatewarden COMMAND --help says more. Exit status: 0 fine, 1 finding or failure, 2 wrong usage or unreadable input, 3 cluster not reachable.
`;

/** Answers the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args;
  switch (command) {
    case "operator":
      return (await import("./commands/operator.ts")).operator(rest);
    case "fallback":
      return (await import("./commands/fallback.ts")).fallback(rest);
    case "bootstrap":
      return (await import("./commands/bootstrap.ts")).bootstrap(rest);
    case "drain":
      return (await import("./commands/drain.ts")).drain(rest);
    case "translate":
      return (await import("./commands/translate.ts")).translate(rest);
    case "run":
      return (await import("./commands/run.ts")).run(rest);
    case "help":
    case "--help":
    case "-h":
      process.stdout.write(USAGE);
      return 0;
    default: {
      const look = await looking(command);
      if (look !== undefined) return look(rest);
      process.stderr.write(command === undefined ? USAGE : `gatewarden: no command ${command}\n\n${USAGE}`);
      return 2;
    }
  }
}
