/** What random requests found once, each in either of the two: small worlds and the requests whose verdicts differed. */
import type { Change } from "../../src/world.ts";
import { backend, policy, route } from "../objects.ts";
import { CORP, type Issuers, PASSWORDS } from "./credentials.ts";
import type { Asked } from "./requests.ts";

export interface Case {
  readonly name: string;
  readonly objects: (issuers: Issuers) => readonly Change[];
  readonly requests: (tokens: Readonly<Record<string, string>>) => readonly Partial<Asked>[];
}

const open = { authentication: { mode: "Public", reason: "test" } };
const toRoute = (name: string): Readonly<Record<string, string>> => ({ kind: "HTTPRoute", name });

/** Every case has a host of its own: its name with `.test`. */
export const corpus: readonly Case[] = [
  {
    // Any value of a repeated header fits a match; they are not joined.
    name: "repeated-header",
    objects: () => [
      route("repeated-header", {
        hostnames: ["repeated-header.test"],
        rules: [
          { matches: [{ headers: [{ name: "x-plan", value: "free" }] }], backendRefs: [backend("echo")] },
          {
            matches: [
              { path: { value: "/r" }, headers: [{ name: "x-plan", type: "RegularExpression", value: "a,b" }] },
            ],
            backendRefs: [backend("echo")],
          },
        ],
      }),
      policy("repeated-header", [toRoute("repeated-header")], open),
    ],
    requests: () => [
      {
        headers: [
          ["x-plan", "free"],
          ["x-plan", "paid"],
        ],
      },
      {
        headers: [
          ["x-plan", "paid"],
          ["x-plan", "free"],
        ],
      },
      { headers: [["x-plan", "free,paid"]] },
      {
        path: "/r",
        headers: [
          ["x-plan", "a"],
          ["x-plan", "b"],
        ],
      },
      { path: "/r", headers: [["x-plan", "a,b"]] },
    ],
  },
  {
    // Authorization is one line, whatever came: a second one makes the token of the first another one.
    name: "repeated-authorization",
    objects: ({ corpSet }) => [
      route("repeated-authorization", {
        hostnames: ["repeated-authorization.test"],
        rules: [{ backendRefs: [backend("echo")] }],
      }),
      policy("repeated-authorization", [toRoute("repeated-authorization")], {
        authentication: {
          jwt: [{ name: "corp", issuer: CORP, jwks: { type: "Inline", inline: corpSet }, forwardToken: true }],
        },
      }),
    ],
    requests: ({ good = "", admin = "" }) => [
      { headers: [["authorization", `Bearer ${good}`]] },
      {
        headers: [
          ["authorization", `Bearer ${good}`],
          ["authorization", "Basic eDp5"],
        ],
      },
      {
        headers: [
          ["authorization", `bearer ${good}`],
          ["authorization", `Bearer ${admin}`],
        ],
      },
      { headers: [["authorization", `BEARER ${good}`]] },
    ],
  },
  {
    // The one line then holds more than base64. Decoders that stop at the padding would find the password.
    name: "password-and-token",
    objects: () => [
      route("password-and-token", {
        hostnames: ["password-and-token.test"],
        rules: [{ backendRefs: [backend("echo")] }],
      }),
      policy("password-and-token", [toRoute("password-and-token")], { authentication: { basic: {} } }),
    ],
    requests: ({ good = "" }) => {
      const password = Buffer.from(`web:${PASSWORDS.web}`).toString("base64");
      return [
        [password],
        [password.replace(/=+$/, "")],
        [`${password}=`],
        [`${password.replace(/=+$/, "")}A`],
        [`${password} `],
        [`${password}\t`],
        [` ${password}`],
        [`${password},`],
        [password, `Bearer ${good}`],
        [password, "Bearer"],
      ].map(([basic = "", ...more]) => ({
        headers: [`Basic ${basic}`, ...more].map((value): [string, string] => ["authorization", value]),
      }));
    },
  },
];
