/** How a namespace lets the operator read the Secrets that are referred to in it (api.md): the one line that mends RefNotPermitted. */
export function optInLine(namespace: string): string {
  return `kubectl create rolebinding gatewarden-secrets --namespace ${namespace} --clusterrole=gatewarden-secrets --serviceaccount=gatewarden-system:gatewarden`;
}
