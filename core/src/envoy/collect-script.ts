/**
 * The Lua of collect.ts. Constant: it is part of every listener, and a change of it drains them. Its state is one worker thread's. Every
 * call into Envoy costs 1 to 10 µs, and running nothing at all 5: the way of the limit header does with one call.
 */

import { namedClaims } from "./claims-script.ts";

/** "[+]<book> <max> <idle ms> <limit> <address>" from slot `select`; the rate limit reads what this script leaves in it. */
export const LIMIT_HEADER = "x-gatewarden-limit";

const common = `
local MAX_PART = 192
local MAX_PARSED = 1000
local books = {}
local parsed, parsedCount = {}, 0

-- Whether the caller is counted apart. Two generations of keys: one that was quiet for a whole generation is forgotten.
local function admit(id, key, limit, now)
  local book = books[id]
  if book == nil or book.max ~= limit.max or book.idle ~= limit.idle then
    for other, unused in pairs(books) do
      if now - unused.since > 4 * unused.idle then books[other] = nil end
    end
    book = { max = limit.max, idle = limit.idle, since = now, young = {}, old = {}, youngCount = 0, oldCount = 0, seen = 0 }
    books[id] = book
  end
  local age = now - book.since
  if age >= book.idle then
    -- Who was only looked up came in the second seen at the latest.
    if age >= 2 * book.idle and now - 1000 * (book.seen + 1) >= book.idle then
      book.old, book.oldCount = {}, 0
    else
      book.old, book.oldCount = book.young, book.youngCount
    end
    book.young, book.youngCount, book.since = {}, 0, now
  end
  if book.young[key] then return true end
  if book.old[key] then
    book.old[key] = nil
    book.oldCount = book.oldCount - 1
  elseif book.youngCount + book.oldCount >= book.max then
    return false
  end
  book.young[key] = true
  book.youngCount = book.youngCount + 1
  return true
end

-- The /64 of an IPv6 address: that is what one customer has.
local function network(address)
  local head, tail = string.match(address, "^(.-)::(.*)$")
  local groups = {}
  for group in string.gmatch(head or address, "[^:]+") do groups[#groups + 1] = group end
  if tail then
    local rest = {}
    for group in string.gmatch(tail, "[^:]+") do rest[#rest + 1] = group end
    while #groups + #rest < 8 do groups[#groups + 1] = "0" end
    for _, group in ipairs(rest) do groups[#groups + 1] = group end
  end
  return table.concat(groups, ":", 1, 4) .. "::/64"
end

local function clientIP(handle)
  local address = handle:streamInfo():downstreamRemoteAddress()
  local v4 = string.match(address, "(%d+%.%d+%.%d+%.%d+)")
  if v4 then return v4 end
  local v6 = string.match(address, "^%[(.*)%]")
  return v6 and network(v6)
end

-- What stands twice has no one value: the caller shares the bucket of those without.
local function header(handle, name)
  local headers = handle:headers()
  if headers:getNumValues(name) == 1 then return headers:get(name) end
end

local function decode(text)
  text = string.gsub(text, "+", " ")
  return (string.gsub(text, "%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

local function query(handle, name)
  local text = string.match(handle:headers():get(":path") or "", "%?(.*)$")
  local found
  for pair in string.gmatch(text or "", "[^&]+") do
    local key, value = string.match(pair, "^([^=]*)=?(.*)$")
    if decode(key) == name then
      if found then return nil end
      found = decode(value)
    end
  end
  return found
end

-- A claim of the one token that was verified; "a.b" also finds b inside a.
local function claimValue(handle, name)
  local tokens = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn")
  for _, payload in pairs(tokens or {}) do
    local value = payload
    if type(payload) == "table" and payload[name] ~= nil then
      value = payload[name]
    else
      for segment in string.gmatch(name, "[^.]+") do
        value = type(value) == "table" and value[segment] or nil
      end
    end
    if value ~= nil then return value end
  end
end

local function claim(handle, name)
  local value = claimValue(handle, name)
  if type(value) == "string" or type(value) == "number" or type(value) == "boolean" then return tostring(value) end
end

-- The shortest text that is this number, as JSON.stringify writes it.
local function json(value)
  local text
  for digits = 15, 17 do
    text = string.format("%." .. digits .. "g", value)
    if tonumber(text) == value then break end
  end
  local sign, whole, fraction, power = string.match(text, "^(%-?)(%d)%.?(%d*)e([+-]%d+)$")
  if sign == nil then return text end
  power = tonumber(power)
  if power >= 0 and power < 21 then return sign .. whole .. fraction .. string.rep("0", power - #fraction) end
  if power < 0 and power >= -6 then return sign .. "0." .. string.rep("0", -power - 1) .. whole .. fraction end
  return sign .. whole .. (fraction == "" and "" or ".") .. fraction .. "e" .. (power < 0 and "" or "+") .. power
end

-- jwt_authn writes fractions and negative numbers with six decimals, whatever they are.
local function numbers(handle, claims)
  local headers = handle:headers()
  for header, names in pairs(claims) do
    local text = headers:get(header)
    if text and string.find(text, "^%-?%d+%.%d%d%d%d%d%d$") then
      for _, name in pairs(names) do
        local value = claimValue(handle, name)
        if type(value) == "number" and string.format("%f", value) == text then headers:replace(header, json(value)) end
      end
    end
  end
end

${namedClaims}

local readers = {
  ClientIP = clientIP,
  Consumer = function(handle) return header(handle, "x-gatewarden-consumer") end,
  Header = header,
  Claim = claim,
  Query = query,
  Path = function(handle) return string.match(handle:headers():get(":path") or "", "^[^?]*") end,
  Method = function(handle) return handle:headers():get(":method") end,
}

-- Printable, bounded, and no two lists of parts alike.
local function escape(part)
  if #part > MAX_PART then
    local digest = 5381
    for at = 1, #part do digest = (digest * 33 + string.byte(part, at)) % 4294967296 end
    part = string.sub(part, 1, MAX_PART) .. "#" .. #part .. "#" .. digest
  end
  part = string.gsub(part, "[^%w%-_.~/@=:]", function(c) return string.format("%%%02x", string.byte(c)) end)
  return #part .. ":" .. part
end

local function keyOf(handle, limit)
  local parts = {}
  for at, by in ipairs(limit.by) do
    local part = readers[by.type](handle, by.name)
    if part == nil or part == "" then return nil end
    parts[at] = escape(part)
  end
  return "=" .. table.concat(parts, "")
end

-- "<max> <idle ms> <Type>:<escaped name> …"; converting it for each request would cost more than all the rest.
local function parse(text)
  local found = parsed[text]
  if found then return found end
  if parsedCount >= MAX_PARSED then parsed, parsedCount = {}, 0 end
  local max, idle, parts = string.match(text, "^(%d+) (%d+) (.*)$")
  found = { max = tonumber(max), idle = tonumber(idle), by = {} }
  local prefix = string.match(parts, "^Address:(%S*)$")
  if prefix then found.prefix = decode(prefix) end
  for kind, name in string.gmatch(parts, "(%a+):(%S*)") do
    found.by[#found.by + 1] = { type = kind, name = decode(name) }
  end
  parsed[text], parsedCount = found, parsedCount + 1
  return found
end

-- Takes parameters out of the query and leaves every other byte of it as it was.
local function hide(handle, names)
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

local function collect(handle)
  local context = handle:filterContext()
  if context == nil then return end
  local metadata = handle:streamInfo():dynamicMetadata()
  for id, text in pairs(context:get("limits") or {}) do
    local limit = parse(text)
    local key, book = nil, id
    if limit.prefix then
      local address = clientIP(handle)
      key, book = address and limit.prefix .. address, string.sub(limit.prefix, 1, 12)
    else
      key = keyOf(handle, limit)
    end
    if key then
      if not admit(book, key, limit, handle:timestamp()) then
        key = "overflow"
        metadata:set("gatewarden.limits", "overflow", id)
      end
      metadata:set("gatewarden.keys", id, key)
    end
  end
  local ssl = context:get("certificate") and handle:streamInfo():downstreamSslConnection()
  local email = context:get("certificate") and handle:headers():get("x-gatewarden-email")
  if email then handle:headers():remove("x-gatewarden-email") end
  if ssl and ssl:peerCertificatePresented() and ssl:peerCertificateValidated() then
    metadata:set("gatewarden.certificate", "uri", ssl:uriSanPeerCertificate())
    metadata:set("gatewarden.certificate", "dns", ssl:dnsSansPeerCertificate())
    if email then metadata:set("gatewarden.certificate", "email", email) end
  end
  local names = context:get("headers")
  if names then
    local found = {}
    for name, how in pairs(names) do
      local value = handle:headers():get(name)
      if value then found[name] = how == "plain" and value or "[masked]" end
    end
    metadata:set("gatewarden.log", "headers", found)
  end
  local hidden = context:get("hidden")
  if hidden then hide(handle, hidden) end
  local claims = context:get("claims")
  if claims then numbers(handle, claims) end
  local told = context:get("named")
  if told then named(handle, told) end
end
`;

/** A caller that is known costs one look into its book, with Lua's own clock: it has whole seconds, but Envoy need not be asked. */
const limitHeader = `
local function known(handle)
  local headers = handle:headers()
  local value = headers:get("${LIMIT_HEADER}")
  if value == nil then return true end
  local more = string.byte(value) == 43
  if more then value = string.sub(value, 2) end
  local book = books[string.sub(value, 1, 12)]
  local plain = not string.find(value, ":", 1, true)
  if plain and not more and book and book.young[value] then
    local second = os.time()
    if 1000 * second - book.since < book.idle then
      book.seen = second
      return false
    end
  end
  local id, max, idle, limit, address = string.match(value, "^(%x+) (%d+) (%d+) (%S+) (.*)$")
  if not plain then value = string.sub(value, 1, -1 - #address) .. network(address) end
  if not admit(id, value, { max = tonumber(max), idle = tonumber(idle) }, handle:timestamp()) then
    value = "overflow"
    handle:streamInfo():dynamicMetadata():set("gatewarden.limits", "overflow", limit)
  end
  if value == "overflow" or more or not plain then headers:replace("${LIMIT_HEADER}", value) end
  return more
end

function envoy_on_request(handle)
  if known(handle) then collect(handle) end
end
`;

/** The script of slot `collect`, and of `collect-post`, which has no limits by address. */
export const collectScript = `${common}${limitHeader}`.trimStart();
export const collectPostScript = `${common}
function envoy_on_request(handle)
  collect(handle)
end
`.trimStart();
