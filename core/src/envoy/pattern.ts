/**
 * The one way from user text to Envoy's matchers (rules A7, A8): what a user wrote is literal unless the field says that it is a
 * pattern. Envoy's `safe_regex` is RE2 over the whole text.
 */
import type { JsonObject } from "../world.ts";

export function exact(text: string): JsonObject {
  return { exact: text };
}

export function safeRegex(regex: string): JsonObject {
  return { safe_regex: { regex } };
}

/** The regular expression that matches exactly this text. */
export function quote(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, (character) => (character === "/" ? "/" : `\\${character}`));
}

/** One of these texts; nothing where there are none. */
export function oneOf(texts: readonly string[]): JsonObject {
  const [only] = texts;
  return texts.length === 1 && only !== undefined ? exact(only) : safeRegex(`(?:${texts.map(quote).join("|")})`);
}

/**
 * A header one of whose values is this. Envoy joins repeated headers with commas before it compares, so an exact match is avoided by
 * sending the header twice.
 */
export function anyValue(text: string): JsonObject {
  return safeRegex(`(?:.*,)?[ \\t]*${quote(text)}[ \\t]*(?:,.*)?`);
}

/** `:path`, query included, for path templates: `*` and `{x}` are one segment, `**` any rest, its slash included. */
export function pathRegex(templates: readonly string[]): string {
  return `(?:${templates.map(templateRegex).join("|")})(?:\\?.*)?`;
}

function templateRegex(template: string): string {
  if (template === "/") return "/";
  return template
    .split("/")
    .slice(1)
    .map((segment) => {
      if (segment === "**") return "(?:/[^?]*)?";
      return segment === "*" || /^\{.*\}$/.test(segment) ? "/[^/?]+" : `/${quote(segment)}`;
    })
    .join("");
}
