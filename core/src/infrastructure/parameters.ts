/** Which ProxyConfig holds for a Gateway: its own one's fields before its class's. */
import type { GatewayClass, ObjectRef } from "../kinds/gateway-api/gateway.ts";
import { mergeSpecs, PROXY_CONFIG, type ParsedProxyConfig, type ProxyConfigSpec } from "../kinds/proxy-config.ts";
import type { Fault } from "../status/condition.ts";
import { faultOf } from "../status/condition.ts";
import type { OwnGateway } from "../views.ts";

export type Parameters =
  { readonly ok: true; readonly spec: ProxyConfigSpec } | { readonly ok: false; readonly fault: Fault };

export interface ParameterReads {
  readonly proxyConfig: (id: string) => ParsedProxyConfig | undefined;
  readonly gatewayClass: (name: string) => GatewayClass | undefined;
}

const NONE: Parameters = { ok: true, spec: {} };

export function classParameters(gatewayClass: GatewayClass, reads: ParameterReads): Parameters {
  const { parameters } = gatewayClass;
  if (parameters === undefined) return NONE;
  if (parameters.namespace === undefined)
    return invalid("spec.parametersRef.namespace is missing; a ProxyConfig is in a namespace");
  return resolve(parameters, parameters.namespace, "spec.parametersRef", reads);
}

export function gatewayParameters({ gateway }: OwnGateway, reads: ParameterReads): Parameters {
  const gatewayClass = reads.gatewayClass(gateway.className);
  const farther = gatewayClass === undefined ? NONE : classParameters(gatewayClass, reads);
  if (!farther.ok) return invalid(`GatewayClass ${gateway.className}: ${farther.fault.message}`);
  const ref = gateway.infrastructure?.parameters;
  if (ref === undefined) return farther;
  const nearer = resolve(ref, gateway.namespace, "spec.infrastructure.parametersRef", reads);
  if (!nearer.ok) return nearer;
  // Who may write Gateways is not thereby to decide what the operator runs with a cluster's rights.
  if (nearer.spec.image !== undefined)
    return invalid(
      `ProxyConfig ${gateway.namespace}/${ref.name}: spec.image may only stand in the ProxyConfig of a GatewayClass`,
    );
  return { ok: true, spec: mergeSpecs(farther.spec, nearer.spec) };
}

function resolve(ref: ObjectRef, namespace: string, path: string, { proxyConfig }: ParameterReads): Parameters {
  const { group, kind, name } = ref;
  if (group !== PROXY_CONFIG.group || kind !== PROXY_CONFIG.kind)
    return invalid(
      `${path} names a ${kind} of ${group === "" ? "the core group" : group}; use a ProxyConfig of gatewarden.io`,
    );
  const found = proxyConfig(`${namespace}/${name}`);
  if (found === undefined) return invalid(`${path}: there is no ProxyConfig ${namespace}/${name}`);
  const fault = faultOf(found.problems);
  return fault === undefined
    ? { ok: true, spec: found.spec }
    : invalid(`ProxyConfig ${namespace}/${name}: ${fault.message}`);
}

function invalid(message: string): { readonly ok: false; readonly fault: Fault } {
  return { ok: false, fault: { reason: "InvalidParameters", message } };
}
