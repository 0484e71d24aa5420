/**
 * What is made when it is first asked for. Making a zod schema costs more than parsing with it, and the command line needs few of them: it would
 * spend most of its time on the others.
 */
export function later<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
