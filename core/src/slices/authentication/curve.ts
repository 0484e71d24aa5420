/** NIST's prime curves (FIPS 186-4 D.1.2), y² = x³ − 3x + b mod p: whether a public key is a point on one. */

interface Curve {
  readonly p: bigint;
  readonly b: bigint;
  readonly bytes: number;
}

const CURVES: Readonly<Record<string, Curve>> = {
  "P-256": {
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
    bytes: 32,
  },
  "P-384": {
    p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
    bytes: 48,
  },
  "P-521": {
    p: 2n ** 521n - 1n,
    b: 0x51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00n,
    bytes: 66,
  },
};

export function isOnCurve(name: string, x: Uint8Array, y: Uint8Array): boolean {
  const curve = Object.hasOwn(CURVES, name) ? CURVES[name] : undefined;
  if (curve === undefined || x.length !== curve.bytes || y.length !== curve.bytes) return false;
  const { p, b } = curve;
  const [left, right] = [number(x), number(y)];
  if (left >= p || right >= p) return false;
  return (right * right - (left * left * left - 3n * left + b)) % p === 0n;
}

function number(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}
