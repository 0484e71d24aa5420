/**
 * Structured logs: one JSON object a line, a constant message plus fields. Values of Secrets, tokens and request bodies never come here:
 * callers pass names, counts and status codes only.
 */

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

const ORDER: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };
/** Longer field values are cut: an error text may quote somebody's whole input. */
const LONGEST_FIELD = 2_048;

/**
 * Makes a log that hands complete lines to `write`.
 * @param level the lowest level that is written
 * @param nowMs epoch milliseconds, for `time`
 */
export function createLog(level: LogLevel, write: (line: string) => void, nowMs: () => number): Log {
  const at =
    (own: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (ORDER[own] < ORDER[level]) return;
      const cut: Record<string, string | number | boolean | undefined> = {};
      for (const [key, value] of Object.entries(fields)) {
        cut[key] =
          typeof value === "string" && value.length > LONGEST_FIELD ? `${value.slice(0, LONGEST_FIELD)}…` : value;
      }
      write(`${JSON.stringify({ time: new Date(nowMs()).toISOString(), level: own, message, ...cut })}\n`);
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** A log that says nothing. */
export const silentLog: Log = createLog(
  "error",
  () => undefined,
  () => 0,
);

/** The text of anything that was thrown, without its stack. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  return code !== undefined && !error.message.includes(code) ? `${code}: ${error.message}` : error.message;
}
