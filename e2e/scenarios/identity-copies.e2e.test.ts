/** Credentials that are there more than once or in odd forms: what reached the upstream is what was verified, or nothing of it. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { Answer, HeaderList } from "../client/answer.ts";
import { send } from "../client/http1.ts";
import { connectHttp2 } from "../client/http2.ts";
import { eventually } from "../cluster/condition.ts";
import { type Harness, START_LIMIT_MS, startHarness } from "../harness/harness.ts";
import type { GatewayHandle, Tenant } from "../harness/tenant.ts";
import { claimsFor, createSigner, keySet } from "../material/jwt.ts";
import type { Echo } from "../upstream/echo.ts";
import { guarded, upstreamValues, verdictOf } from "./authentication-manifest.ts";
import { addConsumer, apiPolicy } from "./policies-manifest.ts";
import { httpRoute, rule } from "./routes-manifest.ts";

const ISSUER = "https://sso.corp.test";
const REFUSED = "401 GW-AUTHN-002";

interface Call {
  readonly path?: string;
  readonly headers?: HeaderList;
}

describe("credentials", () => {
  const signer = createSigner("ES256");
  const good = signer.token(claimsFor(ISSUER, "shop"));
  const forged = createSigner("ES256").token(claimsFor(ISSUER, "shop", { sub: "root" }));
  let harness: Harness;
  let shop: Tenant;
  let edge: GatewayHandle;
  beforeAll(async () => {
    harness = await startHarness();
    shop = await harness.tenant("copies");
    await shop.upstream("orders");
    edge = await shop.gateway();
    await addConsumer(shop, "erp", "k-erp");
    await addConsumer(shop, "crm", "k-crm");
    const from = { headers: [{ name: "x-token" }], params: ["access_token"], cookies: ["sid"] };
    const jwt = (forwardToken: boolean) => [
      {
        name: "corp",
        issuer: ISSUER,
        jwks: { type: "Inline", inline: keySet(signer) },
        claimsToHeaders: [{ claim: "sub", header: "x-user-id" }],
        from,
        forwardToken,
      },
    ];
    const apiKey = (forwardKey: boolean) => ({
      from: { ...from, headers: ["x-token"] },
      consumerHeader: "x-user-id",
      forwardKey,
    });
    const sections = {
      "token-kept": { jwt: jwt(false) },
      "token-forwarded": { jwt: jwt(true) },
      "key-kept": { apiKey: apiKey(false) },
      "key-forwarded": { apiKey: apiKey(true) },
    };
    for (const [name, section] of Object.entries(sections)) {
      await shop.enforce(guarded(name, section));
      await eventually(name, async () => (await send(edge.target(), { host: `${name}.test` })).status === 401);
    }
  }, START_LIMIT_MS);
  afterAll(() => harness.stop());

  const ask = (name: string, { path = "/", headers = [] }: Call): Promise<Answer> =>
    send(edge.target(), { host: `${name}.test`, path, headers });
  const cookie = (...lines: readonly string[]): Call => ({ headers: lines.map((line) => ["cookie", line] as const) });

  /** `first` and `second` credential in each place, in every form that some server reads. */
  const copies = (first: string, second: string): Readonly<Record<string, Call>> => ({
    parameters: { path: `/?access_token=${first}&access_token=${second}` },
    "parameters with others between": { path: `/?a=1&access_token=${first}&b=2&access_token=${second}&c=3` },
    "a parameter and one with escapes": { path: `/?access_token=${first}&access%5Ftoken=${second}` },
    "a parameter and one all in escapes": {
      path: `/?access_token=${first}&%61%63%63%65%73%73%5f%74%6f%6b%65%6e=${second}`,
    },
    "a parameter and an empty one": { path: `/?access_token=${first}&access_token` },
    cookies: cookie(`a=1; sid=${first}; sid=${second}; b=2`),
    "cookies without a space": cookie(`sid=${first};sid=${second}`),
    "a cookie and one with spaces": cookie(`sid=${first};  sid = ${second}`),
  });
  /** One of two lines of cookies has its first left, like any header. */
  const inTwoLines = (first: string, second: string): Call => cookie(`a=1; sid=${first}`, `sid=${second}; b=2`);

  it.each(["token-forwarded", "key-forwarded"])(
    "of which one is forwarded are refused when there are two (%s)",
    async (name) => {
      const [mine, other] = name.startsWith("token") ? [good, forged] : ["k-erp", "k-crm"];
      for (const [form, call] of Object.entries(copies(mine, other))) {
        expect([form, verdictOf(await ask(name, call))]).toEqual([form, REFUSED]);
      }
      for (const [form, call] of Object.entries(copies(mine, mine))) {
        expect([form, verdictOf(await ask(name, call))]).toEqual([form, REFUSED]);
      }
      // A header has its first copy left: it was the one that was verified.
      const lines = await ask(name, inTwoLines(mine, other));
      expect([verdictOf(lines), upstreamValues(lines, "cookie")]).toEqual(["200", [`a=1; sid=${mine}`]]);
      expect(verdictOf(await ask(name, inTwoLines(other, mine)))).toBe(name.startsWith("token") ? REFUSED : "200");
      const headers = [
        ["x-token", mine],
        ["x-token", other],
      ] as const;
      const answer = await ask(name, { headers });
      if (answer.status === 200) expect(upstreamValues(answer, "x-token")).toEqual([mine]);
      else expect(answer.status).toBe(401);
    },
  );

  it.each(["token-forwarded", "key-forwarded"])(
    "are forwarded where there is one, whatever else looks like it (%s)",
    async (name) => {
      const mine = name.startsWith("token") ? good : "k-erp";
      const calls: Readonly<Record<string, Call>> = {
        parameter: { path: `/?access_token=${mine}` },
        "a parameter that begins like it": { path: `/?access_token2=x&access_token=${mine}&xaccess_token=y` },
        "a value like the name": { path: `/?a=access_token&access_token=${mine}&b=access_token=` },
        "a path like the name": { path: `/access_token=/&access_token=a?access_token=${mine}` },
        cookie: cookie(`sid=${mine}`),
        "cookies that begin or end like it": cookie(`sid2=x; sid=${mine}; xsid=y; SID=z`),
        header: { headers: [["x-token", mine]] },
      };
      for (const [form, call] of Object.entries(calls)) {
        const answer = await ask(name, call);
        expect([form, verdictOf(answer)]).toEqual([form, "200"]);
        expect([form, answer.body.includes(mine), upstreamValues(answer, "x-user-id")]).toEqual([
          form,
          true,
          [name.startsWith("token") ? "alice" : "erp"],
        ]);
      }
    },
  );

  it.each(["token-kept", "key-kept"])("that stay here do not reach the upstream in any copy (%s)", async (name) => {
    const [mine, other] = name.startsWith("token") ? [good, forged] : ["k-erp", "k-crm"];
    const more: Readonly<Record<string, Call>> = {
      ...copies(mine, other),
      "cookies in two lines": inTwoLines(mine, other),
      "a cookie in the last of three lines": cookie("a=1", "b=2", `sid=${mine}`),
      "a cookie in the first of two lines": cookie(`sid=${mine}`, "b=2"),
      "a cookie in quotes": cookie(`sid="${mine}"`),
      "a header beside a cookie": {
        headers: [
          ["x-token", mine],
          ["cookie", `sid=${other}`],
        ],
      },
      "a header beside a parameter": { path: `/?access_token=${other}`, headers: [["x-token", mine]] },
    };
    let passed = 0;
    for (const [form, call] of Object.entries(more)) {
      const answer = await ask(name, call);
      if (answer.status !== 200) {
        expect([form, answer.status]).toEqual([form, 401]);
        continue;
      }
      passed++;
      expect([form, upstreamValues(answer, "x-user-id")]).toEqual([form, [name.startsWith("token") ? "alice" : "erp"]]);
      expect([form, answer.body.includes(mine), answer.body.includes(other)]).toEqual([form, false, false]);
    }
    expect(passed).toBeGreaterThan(10);
  });

  it("leave the other cookies as they are, also where HTTP/2 sends them apart", async () => {
    const http2 = await connectHttp2(edge.target());
    const headers = [
      ["cookie", "a=1"],
      ["cookie", `sid=${good}`],
      ["cookie", "b=2"],
    ] as const;
    const answer = await http2.request({ host: "token-kept.test", headers });
    expect([verdictOf(answer), upstreamValues(answer, "cookie")]).toEqual(["200", ["a=1; b=2"]]);
    http2.close();
    for (const [sent, kept] of [
      [`a=1; sid=${good}; b=2`, ["a=1; b=2"]],
      [`sid=${good}; b=2`, ["b=2"]],
      [`a=1; sid=${good}`, ["a=1"]],
      [`sid=${good}`, []],
      [`xsid=1; sid=${good}; sidx=2; b=x=y`, ["xsid=1; sidx=2; b=x=y"]],
    ] as const) {
      const one = await ask("token-kept", cookie(sent));
      expect([sent, verdictOf(one), upstreamValues(one, "cookie")]).toEqual([sent, "200", kept]);
    }
  });

  it("are taken out under every form of a host, also below a wildcard", async () => {
    await shop.enforce([
      httpRoute("wild", { hostnames: ["*.wild.test"], rules: [rule("orders")] }),
      apiPolicy(
        "wild",
        { kind: "HTTPRoute", name: "wild" },
        { authentication: { apiKey: { from: { params: ["k"], cookies: ["sid"] }, consumerHeader: "x-user-id" } } },
      ),
      ...guarded("exact", { apiKey: { from: { params: ["k"], cookies: ["sid"] }, consumerHeader: "x-user-id" } }),
    ]);
    for (const name of ["a.wild.test", "exact.test"]) {
      await eventually(name, async () => (await send(edge.target(), { host: name })).status === 401);
      for (const host of [name, name.toUpperCase(), `${name}.`, `${name}:8080`, `${name.toUpperCase()}.:80`]) {
        const query = await send(edge.target(), { host, path: "/p?a=%26&k=k-erp" });
        const cookies = await send(edge.target(), { host, headers: { cookie: "a=1; sid=k-erp" } });
        expect([host, verdictOf(query), query.json<Echo>().path]).toEqual([host, "200", "/p?a=%26"]);
        expect([host, verdictOf(cookies), upstreamValues(cookies, "cookie")]).toEqual([host, "200", ["a=1"]]);
        for (const answer of [query, cookies]) expect(upstreamValues(answer, "x-user-id")).toEqual(["erp"]);
      }
    }
  });

  it("leave every other byte of the query as it is, with and without a credential in it", async () => {
    const queries = [
      ...[
        "b=%20x",
        "b=a+b",
        "b=%26c%3dd",
        "b=%23f",
        "b=%0d%0ax-user-id:%20root",
        "b=x%20HTTP/1.1%0d%0aa:%20b",
        "b=%25",
        "b=%00",
      ],
      ...[
        "b=%2f..%2f",
        "b=%c3%a4",
        "b=%ff",
        "b=%2B",
        "b",
        "b=",
        "z=1&a=2&z=3",
        "=x",
        "b=a;c=d",
        "b=?x",
        "a%20b=1",
        "b=%zz",
        "b=%",
      ],
    ];
    for (const query of queries) {
      const tokens: Readonly<Record<string, string>> = {
        [`/p?access_token=${good}&${query}`]: `/p?${query}`,
        [`/p?${query}&access_token=${good}`]: `/p?${query}`,
        [`/p?y=1&access_token=${good}&${query}&access_token=${good}`]: `/p?y=1&${query}`,
        [`/p?access_token=${good}&${query}&access%5ftoken=${forged}`]: `/p?${query}`,
      };
      for (const [path, expected] of Object.entries(tokens)) {
        const answer = await ask("token-kept", { path });
        expect([query, verdictOf(answer), answer.json<Echo>().path]).toEqual([query, "200", expected]);
      }
      const elsewhere = await ask("token-kept", { path: `/p?${query}`, headers: [["x-token", good]] });
      expect([query, verdictOf(elsewhere), elsewhere.json<Echo>().path]).toEqual([query, "200", `/p?${query}`]);
    }
    const alone = await ask("token-kept", { path: `/p?access_token=${good}` });
    expect(alone.json<Echo>().path).toBe("/p");
  });
});
