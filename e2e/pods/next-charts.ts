/** The charts as a next release would bring them: packaged by Helm, with other versions, another image, and a kind that has gained a field. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "../harness/installation.ts";

export interface NextCharts {
  /** Files that Helm takes in place of `charts/gatewarden-crds` and `charts/gatewarden`. */
  readonly crds: string;
  readonly gatewarden: string;
}

const VERSION = "0.2.0";
/** Of ApiGrant's spec in the next release. */
export const NEXT_FIELD = "ofNextRelease";
const GRANTS = join("templates", "gatewarden.io_apigrants.yaml");

/**
 * @param directory made here
 * @param shell has Helm
 * @param appVersion the tag of the operator's image
 */
export async function packageNextCharts(
  directory: string,
  shell: (script: string) => Promise<string>,
  appVersion: string,
): Promise<NextCharts> {
  mkdirSync(directory, { recursive: true });
  const packaged = async (chart: string, edit: (folder: string) => void): Promise<string> => {
    const folder = join(directory, chart);
    cpSync(join(REPOSITORY, "charts", chart), folder, { recursive: true });
    edit(folder);
    await shell(
      `helm package ${folder} --version ${VERSION} --app-version ${appVersion} --destination ${directory} >/dev/null`,
    );
    return join(directory, `${chart}-${VERSION}.tgz`);
  };
  const gainField = (folder: string): void => {
    const file = join(folder, GRANTS);
    const text = readFileSync(file, "utf8");
    const more = text.replace(
      /^( {16})consumer:$/m,
      (line, indent: string) => `${indent}${NEXT_FIELD}: { type: string }\n${line}`,
    );
    if (more === text) throw new Error(`${file} has no place for a field`);
    writeFileSync(file, more);
  };
  return {
    crds: await packaged("gatewarden-crds", gainField),
    gatewarden: await packaged("gatewarden", () => undefined),
  };
}
