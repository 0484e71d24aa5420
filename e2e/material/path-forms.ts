/**
 * Path evasion (rules.md A6): forms of paths that servers read differently, and every reading of a path that some server has. Those that matter
 * lie at or below /admin, /secret, /v1/users, /open and /health.
 */

const OPEN_PREFIX = "/open";

/** What stands before, between and behind the segments of a path that is behind the key. */
const BEFORE = [
  ...[
    "/",
    "//",
    "///",
    "/./",
    "/.//",
    "//./",
    "/././",
    "/x/../",
    "/x//../",
    "/x/.././",
    "/x/y/../../",
    "/../",
    "/../../",
  ],
  ...[
    "/%2e/",
    "/%2E/",
    "/x/%2e%2e/",
    "/x/%2E%2e/",
    "/x/.%2e/",
    "/x/%2e./",
    "/%2e%2e/",
    "/x/%252e%252e/",
    "/%2f",
    "/%2F",
    "/x%2f..%2f",
  ],
  ...[
    "\\",
    "/\\",
    "\\\\",
    "/x\\..\\",
    "/x/..\\",
    "/.\\",
    "/%5c",
    "/%5C",
    "/x%5c..%5c",
    "/x/..%5c",
    "/;/",
    "/;x/",
    "/x;y/../",
    "/.;/",
    "/..;/",
  ],
  ...[
    "/x/..;/",
    "/x/..;a=b/",
    "/x/%2e%2e;/",
    "/x/..%3b/",
    "/%3b/",
    "/.%3B/",
    "/%00/",
    "/%00/../",
    "/x%00/../",
    "/%0a/../",
    "/ /../",
    "/%20/../",
  ],
  ...[
    "/%c0%ae%c0%ae/",
    "/x/%c0%ae%c0%ae/",
    "/%c0%af",
    "/%e0%80%af",
    "/x/%uff0e%uff0e/",
    "/%u002f",
    "/\xff/../",
    "/%ff/../",
    "/x/%2e%2e%2f",
  ],
] as const;
const BEHIND = [
  "",
  "/",
  "//",
  "/.",
  "/./",
  "/x/..",
  "/x/../",
  "/..;/",
  ";",
  ";a=b",
  ";/",
  "%3b",
  "%00",
  "%00.html",
  "%20",
  "%09",
  "%0a",
  "%0d%0a",
  ".",
] as const;
const TAILS = [
  "?",
  "?x",
  "?/open",
  "?/../open",
  "#",
  "#x",
  "#/open",
  "#/../../open",
  "%3f",
  "%23",
  "%3fx",
  "%23x",
  "/%2e%2e/open",
  "\\",
  "%5c",
  "%2f",
  "/*",
  "~",
] as const;
const SPELLINGS: Readonly<Record<string, readonly string[]>> = {
  admin: [
    "admin",
    "%61dmin",
    "adm%69n",
    "%61%64%6d%69%6e",
    "%2561dmin",
    "ad%6Din",
    "ad/min",
    "ad%00min",
    "ad\tmin",
    "ADMIN",
    "Admin",
    "\u0101dmin",
    "%ef%bd%81dmin",
    "admi\xf1",
  ],
  secret: ["secret", "%73ecret", "secre%74", "SECRET", "se%2573cret"],
};

export function pathForms(): readonly string[] {
  const forms = new Set<string>();
  for (const before of BEFORE) {
    forms.add(`${before}admin`);
    forms.add(`${before}secret`);
    forms.add(`${OPEN_PREFIX}${before}admin/x`);
    forms.add(`${before}v1/users/7`);
  }
  for (const behind of [...BEHIND, ...TAILS]) {
    for (const path of ["/admin", "/secret", "/v1/users/7", "/admin/x", "/open", "/health"])
      forms.add(`${path}${behind}`);
  }
  for (const spellings of Object.values(SPELLINGS)) {
    for (const spelling of spellings) for (const behind of ["", "/", "/x", "?a"]) forms.add(`/${spelling}${behind}`);
  }
  for (const climb of [
    "/open/../admin",
    "/open/..//admin",
    "/health/../admin",
    "/open/..\\admin",
    "/open\\..\\admin",
    "/open/%2e%2e/admin",
  ]) {
    forms.add(climb);
    forms.add(`${climb}?x=/open`);
    forms.add(climb.replace("admin", "secret"));
  }
  return [...forms];
}

type Step = (path: string) => string;

/** What servers do to a path, each alone and in any order; decoding at most once. */
const STEPS: readonly Step[] = [
  (path) => path.replaceAll("\\", "/"),
  (path) => path.replaceAll(/;[^/]*/g, ""),
  (path) => path.replaceAll(/\/{2,}/g, "/"),
  resolveDots,
  (path) => path.replace(/\0.*$/s, ""),
];
// Not among them: a slash at the end. An exact path is that path and no other (Gateway API); a prefix covers both.

export function readings(target: string): readonly string[] {
  // An absolute form, then the query and fragment, are no part of the path.
  const path = target.replace(/^[a-z]+:\/\/[^/?#]*/i, "").split(/[?#]/)[0] ?? "";
  const found = closure([path]);
  return closure([...found, ...found.map(decode)]);
}

function closure(start: readonly string[]): readonly string[] {
  const found = new Set(start);
  for (const path of found) for (const step of STEPS) found.add(step(path));
  return [...found];
}

function decode(path: string): string {
  return path.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function resolveDots(path: string): string {
  const out: string[] = [];
  const segments = path.split("/").slice(1);
  for (const [at, segment] of segments.entries()) {
    const last = at === segments.length - 1;
    if (segment === "..") out.pop();
    else if (segment !== ".") out.push(segment);
    if (last && (segment === ".." || segment === ".")) out.push("");
  }
  return `/${out.join("/")}`;
}
