/**
 * The slot `query`: takes credentials out of the query and leaves every other byte of it as it was. Envoy's header_mutation would decode the
 * whole query, sort it and write it without encoding it again: `b=%26c%3dd` would reach the upstream as another parameter, `b=%20` as a
 * malformed request (measured). The script is constant, since it is part of every listener, and inert without per-route configuration.
 */
import type { JsonObject } from "../world.ts";
import { LUA, LUA_PER_ROUTE } from "./type-url.ts";

const script = `function envoy_on_request(handle)
  local context = handle:filterContext()
  local names = context and context:get("hidden")
  if names == nil then return end
  local path, query = string.match(handle:headers():get(":path") or "", "^([^?]*)%?(.*)$")
  if path == nil then return end
  local hidden = {}
  for _, name in pairs(names) do hidden[name] = true end
  local kept, found = {}, false
  for pair in string.gmatch(query .. "&", "([^&]*)&") do
    local name = string.gsub(string.match(pair, "^[^=]*"), "%%(%x%x)", function(digits)
      return string.char(tonumber(digits, 16))
    end)
    if hidden[name] then found = true else kept[#kept + 1] = pair end
  end
  if not found then return end
  if #kept > 0 then path = path .. "?" .. table.concat(kept, "&") end
  handle:headers():replace(":path", path)
end
`;

/** The filter as it stands in the chain. */
export function hideParametersFilter(): JsonObject {
  return { "@type": LUA, default_source_code: { inline_string: script }, clear_route_cache: false };
}

/** Per-route configuration: these parameters, however they are escaped, do not reach the upstream. */
export function hideParameters(names: readonly string[]): JsonObject {
  return { "@type": LUA_PER_ROUTE, filter_context: { hidden: names } };
}
