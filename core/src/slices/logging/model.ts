/** The section with its defaults filled in and its collectors found. */
export interface Model {
  readonly calls: "All" | "Denied" | "Errors" | "None";
  readonly sampling: number; // percent
  readonly headers: readonly string[];
  readonly fields: Readonly<Record<string, string>>;
  readonly sinks: readonly Sink[];
}

export type Sink =
  | { readonly name: string; readonly type: "Stdout" }
  | { readonly name: string; readonly type: "File"; readonly file: string }
  | { readonly name: string; readonly type: "OTLP"; readonly cluster: string; readonly authority: string };
