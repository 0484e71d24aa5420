/** Jest's globalTeardown: ends the cluster that jest-global.ts started. */
export default async function stopSharedCluster(): Promise<void> {
  await globalThis.gatewardenSharedCluster?.stop();
}
