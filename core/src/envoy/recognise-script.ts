/**
 * The Lua of slot `recognise` (recognise.ts). It answers only where it knows the namespace's consumers: what it does not answer for is
 * refused behind it, so a script that fails, is missing or is older than its route opens nothing.
 */
export const recogniseScript = `
local function decode(text)
  return (string.gsub(text, "%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

-- One line for each: "n" a namespace, "u" one of its consumers, then "t" and "x" what is that consumer. The first consumer of two goes first.
local function read(lines)
  local books, book, rank = {}, nil, 0
  for line in string.gmatch(lines, "[^;]+") do
    local words = {}
    for word in string.gmatch(line, "%S+") do words[#words + 1] = word end
    local kind = words[1]
    if kind == "n" then
      book, rank = { users = {}, ranks = {}, issuers = {}, certificates = { URI = {}, DNS = {} } }, 0
      books[decode(words[2])] = book
    elseif kind == "u" then
      rank = rank + 1
      local name = decode(words[3])
      book.users[rank] = { name = name, suspended = words[2] == "suspended" }
      book.ranks[name] = rank
    elseif kind == "t" then
      local issuer = decode(words[2])
      local claims = book.issuers[issuer] or {}
      book.issuers[issuer] = claims
      local claim = claims[words[3]]
      if claim == nil then
        claim = { path = {}, ranks = {} }
        claims[words[3]] = claim
        for segment in string.gmatch(words[3], "[^.]+") do claim.path[#claim.path + 1] = decode(segment) end
      end
      claim.ranks[decode(words[4])] = rank
    elseif kind == "x" then
      book.certificates[words[2]][decode(words[3])] = rank
    end
  end
  return books
end

local books = read(LINES)

local function first(a, b)
  if a == nil or (b ~= nil and b < a) then return b end
  return a
end

-- Whole numbers as JSON writes them; beyond 2^53 two claims could look alike.
local function text(value)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "boolean" then return tostring(value) end
  if kind == "number" and value == math.floor(value) and math.abs(value) <= 9007199254740991 then
    return string.format("%.0f", value + 0) -- never "-0"
  end
end

local function byToken(handle, book)
  local payload = (handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn") or {})["jwt"]
  if type(payload) ~= "table" then return nil end
  local issuer, rank = payload["iss"], nil
  for _, claim in pairs(book.issuers[issuer] or {}) do
    local value = payload
    for _, segment in ipairs(claim.path) do
      if type(value) == "table" then value = value[segment] else value = nil end
    end
    local known = text(value)
    if known ~= nil then rank = first(rank, claim.ranks[known]) end
  end
  return rank, issuer
end

-- Second: whether slot "names" answered for this namespace.
local function byCertificate(handle, book)
  local verdict = (handle:streamInfo():dynamicMetadata():get("envoy.filters.http.rbac") or {})["names_shadow_effective_policy_id"]
  local known = type(verdict) == "string" and string.match(verdict, "%S+$")
  if not known then return nil, false end
  local ssl = handle:streamInfo():downstreamSslConnection()
  if ssl == nil or not ssl:peerCertificateValidated() then return nil, true end
  local rank = book.ranks[decode(known)]
  for _, name in ipairs(ssl:uriSanPeerCertificate()) do rank = first(rank, book.certificates.URI[name]) end
  for _, name in ipairs(ssl:dnsSansPeerCertificate()) do rank = first(rank, book.certificates.DNS[name]) end
  return rank, true
end

function envoy_on_request(handle)
  local context = handle:filterContext()
  if context == nil then return end
  local namespace = context:get("namespace")
  local book = books[namespace]
  if book == nil then return end
  local headers = handle:headers()
  local rank, issuer, answered = nil, nil, true
  if context:get("by") == "token" then
    rank, issuer = byToken(handle, book)
  else
    rank, answered = byCertificate(handle, book)
  end
  if not answered then return end
  local user = book.users[rank]
  if user ~= nil and user.suspended then
    headers:replace("x-gatewarden-recognised", "suspended")
    return
  end
  if user ~= nil then
    local qualified = namespace .. "/" .. user.name
    headers:replace("x-gatewarden-consumer", qualified)
    local public = (context:get("headers") or {})[issuer or "certificate"]
    if public ~= nil then headers:replace(public, context:get("qualified") and qualified or user.name) end
  end
  headers:replace("x-gatewarden-recognised", "yes")
end
`.trimStart();
