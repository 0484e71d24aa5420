/**
 * A small certificate authority for tests: X.509 v3 certificates (RFC 5280) with P-256 keys, signed with Node's crypto.
 * Not here: anything a product should use.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import * as der from "./der.ts";

/** PEM texts of a certificate and its private key. */
export interface KeyPair {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface Authority extends KeyPair {
  readonly name: der.Der;
  readonly key: KeyObject;
  readonly keyId: Buffer;
}

export interface LeafRequest {
  readonly commonName: string;
  /** Kubernetes reads these as groups. */
  readonly organizations?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly addresses?: readonly string[];
  readonly uris?: readonly string[];
  readonly emails?: readonly string[];
  /** What the certificate may be used for; both when not given. */
  readonly usages?: readonly ("server" | "client")[];
  /** Default: an hour ago, for clocks that differ. */
  readonly notBefore?: Date;
  /** Default: in a day. */
  readonly notAfter?: Date;
}

const HOUR_MS = 3_600_000;
const OID = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAlternativeName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyId: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;
// Bit strings of KeyUsage (RFC 5280 section 4.2.1.3): unused bits, then the bits from the left.
const KEY_CERT_SIGN_AND_CRL_SIGN = Buffer.from([1, 0b0000_0110]);
const DIGITAL_SIGNATURE = Buffer.from([7, 0b1000_0000]);

/** A self-signed authority that may sign leaves only. */
export function createAuthority(commonName: string): Authority {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = distinguishedName(commonName, []);
  const keyId = keyIdOf(publicKey);
  const certificate = certify({
    issuer: name,
    subject: name,
    publicKey,
    signer: privateKey,
    notBefore: new Date(Date.now() - HOUR_MS),
    notAfter: new Date(Date.now() + 3650 * 24 * HOUR_MS),
    extensions: [
      extension(OID.basicConstraints, der.sequence(der.boolean(true)), true),
      extension(OID.keyUsage, der.tagged(0x03, KEY_CERT_SIGN_AND_CRL_SIGN), true),
      extension(OID.subjectKeyId, der.octetString(keyId)),
    ],
  });
  return { certificate, privateKey: pemOf(privateKey), name, key: privateKey, keyId };
}

/** A certificate of `authority` for a new key. */
export function issue(authority: Authority, request: LeafRequest): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const usages = (request.usages ?? ["server", "client"]).map((usage) =>
    der.objectIdentifier(usage === "server" ? OID.serverAuth : OID.clientAuth),
  );
  const names = [
    ...(request.dnsNames ?? []).map((name) => der.tagged(0x82, Buffer.from(name, "ascii"))),
    ...(request.emails ?? []).map((email) => der.tagged(0x81, Buffer.from(email, "ascii"))),
    ...(request.uris ?? []).map((uri) => der.tagged(0x86, Buffer.from(uri, "ascii"))),
    ...(request.addresses ?? []).map((address) => der.tagged(0x87, addressBytes(address))),
  ];
  const certificate = certify({
    issuer: authority.name,
    subject: distinguishedName(request.commonName, request.organizations ?? []),
    publicKey,
    signer: authority.key,
    notBefore: request.notBefore ?? new Date(Date.now() - HOUR_MS),
    notAfter: request.notAfter ?? new Date(Date.now() + 24 * HOUR_MS),
    extensions: [
      extension(OID.basicConstraints, der.sequence(), true),
      extension(OID.keyUsage, der.tagged(0x03, DIGITAL_SIGNATURE), true),
      extension(OID.extendedKeyUsage, der.sequence(...usages)),
      extension(OID.subjectKeyId, der.octetString(keyIdOf(publicKey))),
      extension(OID.authorityKeyId, der.sequence(der.tagged(0x80, authority.keyId))),
      ...(names.length === 0 ? [] : [extension(OID.subjectAlternativeName, der.sequence(...names))]),
    ],
  });
  return { certificate, privateKey: pemOf(privateKey) };
}

interface CertificateFields {
  readonly issuer: der.Der;
  readonly subject: der.Der;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly extensions: readonly der.Der[];
}

function certify(fields: CertificateFields): string {
  const algorithm = der.sequence(der.objectIdentifier(OID.ecdsaWithSha256));
  const toBeSigned = der.sequence(
    der.tagged(0xa0, der.integer(Buffer.from([2]))),
    der.integer(randomBytes(16)),
    algorithm,
    fields.issuer,
    der.sequence(der.generalizedTime(fields.notBefore), der.generalizedTime(fields.notAfter)),
    fields.subject,
    fields.publicKey.export({ type: "spki", format: "der" }),
    der.tagged(0xa3, der.sequence(...fields.extensions)),
  );
  const signature = sign("sha256", toBeSigned, fields.signer);
  const bytes = der.sequence(toBeSigned, algorithm, der.bitString(signature));
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function distinguishedName(commonName: string, organizations: readonly string[]): der.Der {
  const attribute = (oid: string, value: string): der.Der =>
    der.set(der.sequence(der.objectIdentifier(oid), der.utf8String(value)));
  return der.sequence(
    ...organizations.map((organization) => attribute(OID.organization, organization)),
    attribute(OID.commonName, commonName),
  );
}

function extension(oid: string, value: der.Der, critical = false): der.Der {
  return der.sequence(der.objectIdentifier(oid), ...(critical ? [der.boolean(true)] : []), der.octetString(value));
}

function keyIdOf(publicKey: KeyObject): Buffer {
  return createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest()
    .subarray(0, 20);
}

function pemOf(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
  if (!isIPv6(address)) throw new Error(`not an IP address: ${address}`);
  const [head = "", tail] = address.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => "0");
  return Buffer.from([...left, ...zeros, ...right].map((group) => group.padStart(4, "0")).join(""), "hex");
}
