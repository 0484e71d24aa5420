/** What a process costs, from /proc: CPU in nanoseconds (the scheduler's own count, not clock ticks) and resident memory. */
import { readdirSync, readFileSync } from "node:fs";

/** CPU time of all threads that live. Linux only. */
export function cpuMs(pid: number): number {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${String(pid)}/task`)) {
    try {
      nanoseconds += Number(readFileSync(`/proc/${String(pid)}/task/${task}/schedstat`, "utf8").split(" ")[0]);
    } catch {
      // The thread ended between the two readings.
    }
  }
  return nanoseconds / 1e6;
}

export interface Memory {
  readonly rssMB: number;
  /** The most that it ever was. */
  readonly peakMB: number;
}

export function memory(pid: number): Memory {
  const status = readFileSync(`/proc/${String(pid)}/status`, "utf8");
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  return { rssMB: kilobytes("VmRSS") / 1024, peakMB: kilobytes("VmHWM") / 1024 };
}
