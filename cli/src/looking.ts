/** The commands that look at manifests or a cluster and change nothing; each loads its own parts only. */

export type Look = (args: readonly string[]) => Promise<number>;

/** The command of this name; undefined: it is none of these. */
export async function looking(name: string | undefined): Promise<Look | undefined> {
  switch (name) {
    case "simulate":
      return (await import("./commands/simulate.ts")).simulateCommand;
    case "explain":
      return (await import("./commands/explain.ts")).explainCommand;
    case "lint":
      return (await import("./commands/lint.ts")).lintCommand;
    case "score":
      return (await import("./commands/score.ts")).scoreCommand;
    case "diff":
      return (await import("./commands/diff.ts")).diffCommand;
    case "test":
      return (await import("./commands/test.ts")).testCommand;
    case "status":
      return (await import("./commands/status.ts")).statusCommand;
    default:
      return undefined;
  }
}
