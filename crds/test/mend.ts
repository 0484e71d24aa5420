/** What a refusal by the API server must say: our own sentence (`what: mend`), or the server's, which tells what it would take. */
export const MEND =
  /: (write|use|remove|choose|keep|take|leave|make|begin|correct)\b|supported values:|should (have at (least|most)|be (less|greater) than)|must have at most|Required value|Duplicate value|must be of type/;

/** The parser's path as the server writes it: map keys as `.key`, duplicates at the entry instead of its key. */
export function names(said: string, path: string): boolean {
  return said.replace(/\[([a-z]\w*)\]/g, ".$1").includes(path.replace(/\]\.(name|cidr)$/, "]"));
}
