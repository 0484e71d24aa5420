/** Regular expressions as RE2 takes them: Envoy refuses a whole scope for one that it does not. */

const MAX_LENGTH = 1024;

/** Why RE2 would not take it, or undefined. Strict where JavaScript and RE2 differ: what is let through both compile. */
export function regexFault(source: string): string | undefined {
  if (source === "") return "is empty";
  if (source.length > MAX_LENGTH) return `is longer than ${MAX_LENGTH} characters`;
  const plain = source.replace(/\\./g, (escape) => (/\\[1-9k]/.test(escape) ? "(?=" : "")); // back references count as look-around
  if (/\(\?(?:=|!|<=|<!|>)/.test(plain)) return "look-around and back references are not supported (RE2 syntax)";
  if (/[*+?}]\+/.test(plain)) return "possessive repetition is not supported (RE2 syntax)";
  for (const [, low, high] of plain.matchAll(/\{(\d+)(?:,(\d*))?\}/g)) {
    if (Number(low) > 1000 || Number(high ?? 0) > 1000) return "repeats more than 1000 times";
  }
  try {
    // RE2 writes inline flags and named groups in ways that JavaScript does not read.
    new RegExp(
      source
        .replace(/\(\?[imsU]+(?:-[imsU]+)?\)/g, "")
        .replace(/\(\?[imsU-]+:/g, "(?:")
        .replace(/\(\?P</g, "(?<"),
    );
    return undefined;
  } catch (error) {
    return `is no regular expression: ${(error as Error).message.slice(0, 200)}`;
  }
}
