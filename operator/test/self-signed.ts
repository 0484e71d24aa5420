/** Throw-away key pairs for tests, made by openssl at run time: no key lies in the repository. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

export interface KeyPair {
  readonly key: string;
  readonly cert: string;
  readonly ca: string;
}

/** A CA and a leaf for these names ("DNS:a.test", "IP:127.0.0.1"). */
export function makeKeyPair(names: readonly string[]): KeyPair {
  const folder = mkdtempSync(path.join(tmpdir(), "gatewarden-test-"));
  const at = (name: string): string => path.join(folder, name);
  const openssl = (...args: string[]): void => {
    execFileSync("openssl", args, { stdio: "ignore" });
  };
  try {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl(
      "req",
      "-x509",
      ...key,
      "-keyout",
      at("ca.key"),
      "-out",
      at("ca.crt"),
      "-days",
      "2",
      "-subj",
      "/CN=test ca",
    );
    openssl("req", "-new", ...key, "-keyout", at("leaf.key"), "-out", at("leaf.csr"), "-subj", "/CN=leaf");
    writeFileSync(at("ext"), `subjectAltName=${names.join(",")}\n`);
    openssl(
      "x509",
      "-req",
      "-in",
      at("leaf.csr"),
      "-CA",
      at("ca.crt"),
      "-CAkey",
      at("ca.key"),
      "-CAcreateserial",
      "-out",
      at("leaf.crt"),
      "-days",
      "2",
      "-extfile",
      at("ext"),
    );
    return {
      key: readFileSync(at("leaf.key"), "utf8"),
      cert: readFileSync(at("leaf.crt"), "utf8"),
      ca: readFileSync(at("ca.crt"), "utf8"),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
