/** References to other objects. All are to the namespace of the referrer but `backendRef`, which may need a ReferenceGrant. */
import * as z from "zod";
import { listSet, textMap } from "./list.ts";
import { oneOrMore, rule } from "./rule.ts";
import { dataKey, matches, MAX_NAME, MAX_TEXT, name, namespaceName, text } from "./text.ts";

/** One key of a ConfigMap or Secret in the same namespace. */
export function valueRef() {
  return z.strictObject({
    kind: z.enum(["ConfigMap", "Secret"]).describe("Kind of the object that holds the value."),
    name: name().describe("Its name, in the same namespace."),
    key: dataKey().describe("Key inside it."),
  });
}

/** One key of a Secret in the same namespace. */
export function secretRef() {
  return z.strictObject({
    name: name().describe("Name of the Secret, in the same namespace."),
    key: dataKey().describe("Key inside it."),
  });
}

/** A port of a Service; another namespace needs a ReferenceGrant there. */
export function backendRef() {
  return z.strictObject({
    name: name().describe("Name of the Service."),
    namespace: namespaceName()
      .describe("Its namespace; absent: the policy's. Another needs a ReferenceGrant.")
      .exactOptional(),
    port: z.int().min(1).max(65_535).describe("Port of the Service."),
  });
}

/** A cert-manager issuer. */
export function issuerRef() {
  return z.strictObject({
    kind: z.enum(["Issuer", "ClusterIssuer"]).describe("Kind of the issuer."),
    name: name().describe("Its name."),
    group: z.literal("cert-manager.io").describe("Only cert-manager.io.").exactOptional(),
  });
}

const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/;

/** Labels as Kubernetes has them. */
export function labels(max = 16) {
  return rule(textMap(z.string().max(63), max), {
    cel: `self.all(k, size(k) <= 317 && ${matches(LABEL_KEY, "k")} && ${matches(LABEL_VALUE, "self[k]")})`,
    message: "holds what is no label",
    fix: "write label keys and values as Kubernetes has them, like tier: partner",
    check: (map) =>
      Object.entries(map).every(([key, value]) => LABEL_KEY.test(key) && key.length <= 317 && LABEL_VALUE.test(value)),
  });
}

/** Annotations: keys like those of labels, any text as value. */
export function annotations(max = 16) {
  return rule(textMap(z.string().max(MAX_TEXT), max), {
    cel: `self.all(k, size(k) <= 317 && ${matches(LABEL_KEY, "k")})`,
    message: "holds what is no annotation",
    fix: "write keys as Kubernetes has them, like example.com/name",
    check: (map) => Object.keys(map).every((key) => LABEL_KEY.test(key) && key.length <= 317),
  });
}

/** Attributes of an ApiConsumer. */
export function attributes(max = 32) {
  return rule(textMap(text(), max), {
    cel: `self.all(k, size(k) <= ${MAX_NAME})`,
    message: "has a name that is too long",
    fix: `write at most ${MAX_NAME} characters`,
    check: (map) => Object.keys(map).every((key) => key.length <= MAX_NAME),
  });
}

/** Chooses ApiConsumers by what is said of them; an empty selector, which could mean everybody or nobody, does not exist. */
export function consumerSelector() {
  const shape = z.strictObject({
    matchLabels: labels().describe("All of these labels.").exactOptional(),
    roles: listSet(text(MAX_NAME), 16).describe("One of these roles (`spec.roles`).").exactOptional(),
    attributes: attributes(16).describe("All of these attributes (`spec.attributes`).").exactOptional(),
  });
  return oneOrMore(shape, ["matchLabels", "roles", "attributes"]);
}
