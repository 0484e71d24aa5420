/** A certificate for a server that lives as long as one command: self-signed, P-256, one DNS name (RFC 5280; DER as in X.690). */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

export interface SelfSigned {
  readonly certPem: string;
  readonly keyPem: string;
}

const OID = {
  ecdsaWithSha256: "2a8648ce3d040302",
  commonName: "550403",
  subjectAlternativeName: "551d11",
  basicConstraints: "551d13",
} as const;

const DAY_MS = 86_400_000;

function element(tag: number, ...contents: readonly Buffer[]): Buffer {
  const body = Buffer.concat(contents);
  const length = body.length < 0x80 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

const sequence = (...contents: readonly Buffer[]): Buffer => element(0x30, ...contents);
const oid = (hex: string): Buffer => element(0x06, Buffer.from(hex, "hex"));
const time = (ms: number): Buffer =>
  element(0x18, Buffer.from(new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, ""), "ascii"));

/** Good from yesterday to a year from now. */
export function selfSigned(dnsName: string, nowMs: number): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const name = sequence(element(0x31, sequence(oid(OID.commonName), element(0x0c, Buffer.from("gatewarden run")))));
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // positive, and no leading zero
  const extensions = sequence(
    sequence(
      oid(OID.basicConstraints),
      element(0x01, Buffer.from([0xff])),
      element(0x04, sequence(element(0x01, Buffer.from([0xff])))),
    ),
    sequence(oid(OID.subjectAlternativeName), element(0x04, sequence(element(0x82, Buffer.from(dnsName, "ascii"))))),
  );
  const toBeSigned = sequence(
    element(0xa0, element(0x02, Buffer.from([2]))),
    element(0x02, serial),
    algorithm,
    name,
    sequence(time(nowMs - DAY_MS), time(nowMs + 365 * DAY_MS)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    element(0xa3, extensions),
  );
  const signature = element(0x03, Buffer.from([0]), sign("sha256", toBeSigned, privateKey));
  const lines =
    sequence(toBeSigned, algorithm, signature)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return {
    certPem: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`,
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}
