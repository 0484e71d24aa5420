/** What came back: one shape for both protocols. */

/** Names and values in order; names as they were sent, duplicates kept. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** The body of a refusal (RFC 9457), as docs/codes.md has it. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly policy: string;
  readonly requestId: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: string;
  /** The first value of a header, by its name in any case. */
  readonly header: (name: string) => string | undefined;
  /** All its values. */
  readonly headerValues: (name: string) => readonly string[];
  /** The body as JSON; throws with the body when it is none. */
  readonly json: <T>() => T;
  /** The body as a problem; throws when the content type says that it is none. */
  readonly problem: () => Problem;
}

/** An answer from its parts. */
export function answerOf(status: number, headers: HeaderList, body: string): Answer {
  const headerValues: Answer["headerValues"] = (name) =>
    headers.filter(([each]) => each.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  const header: Answer["header"] = (name) => headerValues(name)[0];
  const json = <T>(): T => {
    try {
      return JSON.parse(body) as T;
    } catch {
      throw new Error(`not JSON, with status ${String(status)}: ${body.slice(0, 500)}`);
    }
  };
  const problem = (): Problem => {
    const type = header("content-type") ?? "none";
    if (!type.startsWith("application/problem+json")) {
      throw new Error(`not a problem but ${type}, with status ${String(status)}: ${body.slice(0, 500)}`);
    }
    return json<Problem>();
  };
  return { status, headers, body, header, headerValues, json, problem };
}
