/** Type URLs of the Envoy messages that slices emit. */

const API = "type.googleapis.com/envoy";

export const HTTP_FILTER = `${API}.extensions.filters.http`;
export const RBAC_PER_ROUTE = `${HTTP_FILTER}.rbac.v3.RBACPerRoute`;
export const LOCAL_RATE_LIMIT = `${HTTP_FILTER}.local_ratelimit.v3.LocalRateLimit`;
export const LUA = `${HTTP_FILTER}.lua.v3.Lua`;
export const LUA_PER_ROUTE = `${HTTP_FILTER}.lua.v3.LuaPerRoute`;
export const ACCESS_LOGGER = `${API}.extensions.access_loggers`;
export const TRANSPORT_SOCKET = `${API}.extensions.transport_sockets`;
export const SECRET = `${TRANSPORT_SOCKET}.tls.v3.Secret`;
