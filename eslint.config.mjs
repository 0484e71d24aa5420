// What a machine can hold of CONTRIBUTING.md: types, sizes, and who may import whom.
import tseslint from "typescript-eslint";

/** For each workspace: the other workspaces that its sources may import. */
const MAY_IMPORT = {
  core: [],
  xds: [],
  crds: ["core"],
  operator: ["core", "xds"],
  cli: ["core", "xds", "operator"],
  e2e: [],
  bench: ["core", "e2e"],
};
const WORKSPACES = Object.keys(MAY_IMPORT);

const direction = WORKSPACES.map((workspace) => {
  const foreign = WORKSPACES.filter((other) => other !== workspace && !MAY_IMPORT[workspace].includes(other));
  const patterns = [
    {
      group: foreign.map((other) => `@gatewarden/${other}/*`),
      message: `${workspace}/ does not know this workspace (CONTRIBUTING.md, "Direction").`,
    },
    {
      regex: "^(\\.\\./)+(core|crds|xds|operator|cli|e2e|bench)/",
      message: "Import another workspace by its package name.",
    },
  ];
  if (workspace === "core") {
    patterns.push({
      // Hashes are functions of their input, and so is what CEL parses (its library is loaded when it is needed).
      regex: "^(node:(?!(crypto|module)$)|@kubernetes/|@grpc/|@bufbuild/(?!cel$|cel-spec/|protobuf(?:/wkt)?$))",
      message: "core/ is pure: no I/O, no clock, no randomness.",
    });
  }
  if (workspace === "xds") patterns.push({ group: ["@kubernetes/*"], message: "xds/ knows no Kubernetes." });
  if (workspace === "crds") patterns.push({ group: ["@grpc/*", "@bufbuild/*"], message: "crds/ knows no Envoy." });
  return {
    files: [`${workspace}/src/**/*.ts`],
    ignores: ["**/*.test.ts"], // tests stand beside the sources and start real parts
    rules: { "@typescript-eslint/no-restricted-imports": ["error", { patterns }] },
  };
});

const impure = (object, property) => ({ object, property, message: "core/ is pure: time and randomness are inputs." });

export default tseslint.config(
  { ignores: ["**/dist/**", "**/node_modules/**", "bench/out/**", "**/testdata/**", "**/*.js", "**/*.mjs"] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { project: "./tsconfig.tests.json", tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "max-lines": ["error", { max: 400 }],
      eqeqeq: "error",
      "no-console": "off",
      "no-restricted-syntax": [
        "error",
        { selector: "TSEnumDeclaration", message: "Use a union of literals." },
        { selector: "ExportAllDeclaration", message: "No barrels: import from the file that has it." },
      ],
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      // `() => void work()` says that the promise is left alone on purpose.
      "@typescript-eslint/no-confusing-void-expression": "off",
      "@typescript-eslint/no-meaningless-void-operator": "off",
      "@typescript-eslint/no-misused-promises": [
        "error",
        { checksVoidReturn: { arguments: false, attributes: false } },
      ],
      // Knows nothing of variables that another function changes while this one awaits.
      "@typescript-eslint/no-unnecessary-condition": "off",
      // A reader of JSON says with its type parameter what it expects.
      "@typescript-eslint/no-unnecessary-type-parameters": "off",
      "@typescript-eslint/prefer-promise-reject-errors": [
        "error",
        { allowThrowingAny: true, allowThrowingUnknown: true },
      ],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    },
  },
  ...direction,
  {
    files: ["core/src/**/*.ts"],
    ignores: ["**/*.test.ts"],
    rules: {
      "no-restricted-globals": ["error", "process", "fetch", "setTimeout", "setInterval", "performance", "console"],
      "no-restricted-properties": [
        "error",
        impure("Date", "now"),
        impure("Math", "random"),
        impure("crypto", "randomUUID"),
      ],
    },
  },
  { files: ["**/*.test.ts", "**/test/**/*.ts", "e2e/**/*.ts"], rules: { "max-lines": ["error", { max: 500 }] } },
  {
    files: ["**/*.test.ts"],
    rules: {
      "no-restricted-syntax": [
        "error",
        {
          selector: "MemberExpression[property.name=/^(only|skip|todo)$/][object.name=/^(describe|it|test)$/]",
          message: "A test runs, or it is not there.",
        },
      ],
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/unbound-method": "off",
    },
  },
);
