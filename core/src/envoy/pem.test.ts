import { describe, expect, test } from "@jest/globals";
import { certificatesFault, revocationListsFault } from "./pem.ts";

/** Of cert-manager's shape: an empty subject, the name stands in subjectAltName only. */
const WITHOUT_SUBJECT = `
-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIUMj1cPxBmw3gGoV3h1EOyJg/aZZswCgYIKoZIzj0EAwIw
ADAgFw0yNjExMjQyMzE3MjVaGA8yMTI2MTAzMTIzMTcyNVowADBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABEM5cpxKarHU1lxK7GtntoZFGD8kkPtlAJXFmrODME4f
SNcNcUVc3JMY0zQtfHl/GygqmtFi74CoiaiMIddyGB6jczBxMB0GA1UdDgQWBBT7
Z24W34g8KyYyMWfbTK+9ZQe5GjAfBgNVHSMEGDAWgBT7Z24W34g8KyYyMWfbTK+9
ZQe5GjAPBgNVHRMBAf8EBTADAQH/MB4GA1UdEQEB/wQUMBKCEHNlY3VyZS5zaG9w
LnRlc3QwCgYIKoZIzj0EAwIDSAAwRQIhAPd5rH6h/c/q9mB5vUW25907cUxHAAJE
BIfwB39VgouUAiB06NjqlrTWoYC9Mju1/UXPYD22vfynXUveYhMOA6Wl4A==
-----END CERTIFICATE-----
`;

describe("PEM texts", () => {
  test("a certificate without a subject is one", () => {
    expect(certificatesFault(WITHOUT_SUBJECT)).toBeUndefined();
    expect(certificatesFault(WITHOUT_SUBJECT.repeat(2))).toBeUndefined();
  });

  test("the broken one of several is named", () => {
    const broken = WITHOUT_SUBJECT.replace("MII", "MIJ");
    expect(certificatesFault(`${WITHOUT_SUBJECT}${broken}`)).toBe("certificate 2 of 2 cannot be read");
  });

  test("other texts are no certificates and no revocation lists", () => {
    expect(certificatesFault("")).toBe("holds no PEM block CERTIFICATE");
    expect(revocationListsFault(WITHOUT_SUBJECT)).toBe("holds no PEM block X509 CRL");
  });
});
