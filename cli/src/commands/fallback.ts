/** `gatewarden fallback`: stands in for new proxies while no operator runs. */
const USAGE = `gatewarden fallback [flags]
  --kubeconfig FILE           default: KUBECONFIG, else the pod's service account
  --namespace NAME            where the operator's own objects live (default gatewarden-system)
  --xds-address HOST:PORT     where proxies connect (default 0.0.0.0:18000)
  --metrics-address HOST:PORT /metrics, /healthz, /readyz (default :8080)
  --log-level LEVEL           debug, info, warn or error (default info)
Other flags of \`gatewarden operator\` are taken and mean nothing here.
`;

export async function fallback(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { runFallback } = await import("@gatewarden/operator/main.ts");
  return runFallback(args, process.env);
}
