/** The Lua that collect-script.ts has for claims whose names hold dots: it writes them into headers as jwt_authn writes the others. */

/** Defines `named(handle, claims)`; takes `json(number)` from where it is put. */
export const namedClaims = String.raw`
local escapes = {
  ["\b"] = "\\b", ["\t"] = "\\t", ["\n"] = "\\n", ["\f"] = "\\f", ["\r"] = "\\r", ['"'] = '\\"', ["\\"] = "\\\\",
}

-- Names of an object in order. A list and an object without anything in it look alike here.
local function document(value)
  if type(value) == "table" then
    local names, list = {}, {}
    for name, inner in pairs(value) do
      if type(name) == "number" then list[name] = document(inner) else names[#names + 1] = name end
    end
    if #names == 0 then return "[" .. table.concat(list, ",") .. "]" end
    table.sort(names)
    for at, name in ipairs(names) do names[at] = document(name) .. ":" .. document(value[name]) end
    return "{" .. table.concat(names, ",") .. "}"
  end
  if type(value) == "number" then return json(value) end
  if type(value) ~= "string" then return tostring(value) end
  local text = string.gsub(value, '[%z\1-\31"\\]', function(c)
    return escapes[c] or string.format("\\u%04x", string.byte(c))
  end)
  return '"' .. text .. '"'
end

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

-- RFC 4648, section 5, with padding.
local function base64url(text)
  local found = {}
  for at = 1, #text, 3 do
    local a, b, c = string.byte(text, at, at + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    for place, there in ipairs({ true, true, b ~= nil, c ~= nil }) do
      local digit = math.floor(bits / 64 ^ (4 - place)) % 64 + 1
      found[#found + 1] = there and string.sub(ALPHABET, digit, digit) or "="
    end
  end
  return table.concat(found)
end

-- Each line is an issuer, a claim of its tokens, and the header.
local function named(handle, claims)
  local payload = (handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn") or {})["jwt"]
  if type(payload) ~= "table" then return end
  for line in pairs(claims) do
    local issuer, name, header = string.match(line, "^(.-)\n(.*)\n(.*)$")
    local value = payload[name]
    if value ~= nil and payload["iss"] == issuer then
      local kind = type(value)
      local text = tostring(value)
      if kind == "table" then text = base64url(document(value)) elseif kind == "number" then text = json(value) end
      if text ~= "" then handle:headers():replace(header, text) end
    end
  end
end
`.trim();
