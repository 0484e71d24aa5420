/**
 * How a request finds its host's scope (docs/design/scopes.md). The HCM writes `<hcm>|<authority>` into a header before the first route
 * match, so an exact lower-case host is found there at no cost. For the others two Lua filters choose: `lower` (capitals, trailing dot) and
 * `pick` (wildcards and the catch-all). Two, because only a filter's first `metadata()` reads the route anew. Both are switched off in the
 * virtual host of every real scope. A script that fails leaves the request without a route: 404. What is no host name (`a..`, `a:x`, `u@a`,
 * `a%2e`) is refused: a server behind a wildcard or the catch-all could read it as the name of another route's host.
 */

/** Fragment of a scope's key: which HCM, which host pattern. Requests carry a `|` always, so `<hcm>#` cannot be asked for from outside. */
export function scopeName(hcm: string, pattern: string): string {
  return `${hcm}|${pattern}`;
}

/** The scope that lists the wildcard suffixes of an HCM. */
export function indexName(hcm: string): string {
  return `${hcm}#`;
}

export const INDEX_METADATA = "pick";

/** Whether a host in lower case, without a trailing dot, is a name (not an address). */
const IS_NAME = `string.find(host, "^[%w_-][%w._-]*$") and not string.find(host, "..", 1, true) and string.sub(host, -1) ~= "."`;

export function lowerScript(): string {
  return `function envoy_on_request(h)
  local headers = h:headers()
  local raw = headers:get(":authority") or ""
  local host = string.gsub(string.lower(raw), "%.$", "")
  local pattern = host
  if host == raw then
    local dot = string.find(host, ".", 1, true)
    if not dot or not (${IS_NAME}) then return end
    pattern = "*" .. string.sub(host, dot)
  end
  local scope = headers:get("x-gatewarden-scope") or ""
  headers:replace("x-gatewarden-scope", (string.match(scope, "^[^|]*|") or "") .. pattern)
  h:clearRouteCache()
end
`;
}

export function pickScript(): string {
  return `function envoy_on_request(h)
  if h:streamInfo():routeName() ~= "" then return end
  local hcm = string.match(h:headers():get("x-gatewarden-scope") or "", "^([^|]*)|")
  if hcm == nil then return end
  local host = string.gsub(string.lower(h:headers():get(":authority") or ""), "%.$", "")
  local name = ${IS_NAME}
  if not name and not string.find(host, "^%[[%x:.]+%]$") then
    h:respond({[":status"] = "400"}, "")
    return
  end
  h:headers():replace("x-gatewarden-scope", hcm .. "#")
  h:clearRouteCache()
  local index = h:metadata()
  local rest, pattern = host, nil
  while pattern == nil do
    local dot = string.find(rest, ".", 1, true)
    if not dot then break end
    rest = string.sub(rest, dot + 1)
    if index:get(rest) then pattern = "*." .. rest end
  end
  if pattern == nil and index:get("*") then pattern = "*" end
  h:headers():replace("x-gatewarden-scope", pattern == nil and "" or hcm .. "|" .. pattern)
  h:clearRouteCache()
end
`;
}
