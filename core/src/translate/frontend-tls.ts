/** Gateway API's own client certificates (`Gateway.spec.tls.frontend`): which validation a port has. */
import type { FrontendValidation, Gateway } from "../kinds/gateway-api/gateway.ts";

export function frontendOf({ frontend }: Gateway, port: number): FrontendValidation | undefined {
  if (frontend === undefined) return undefined;
  const own = frontend.byPort[String(port)];
  return own === undefined ? frontend.byDefault : (own ?? undefined);
}
