/**
 * Values that kubectl reads as something else than we: it takes YAML 1.1 as go-yaml v2 does (resolve.go there; so do Argo CD and Flux), we take
 * YAML 1.2. `off` is false to it and a text to us, `0123` is 83 and 123. What is judged here would not be what is applied.
 */
import { isMap, isScalar, isSeq, type Scalar } from "yaml";

export interface OtherReading {
  /** Where it stands below the node that was asked about. */
  readonly steps: readonly (string | number)[];
  /** As it is written, without quotes. */
  readonly source: string;
  /** What it is to kubectl. */
  readonly kubectl: boolean | number;
}

/** All values and names of fields in `node` that kubectl reads otherwise. What an alias stands for is looked at where it is written. */
export function otherReadings(node: unknown): readonly OtherReading[] {
  const found: OtherReading[] = [];
  const steps: (string | number)[] = [];
  const visit = (one: unknown): void => {
    if (isScalar(one)) {
      const kubectl = kubectlValue(one);
      if (kubectl !== undefined) found.push({ steps: [...steps], source: one.source ?? "", kubectl });
    } else if (isSeq(one))
      for (const [index, item] of one.items.entries()) {
        steps.push(index);
        visit(item);
        steps.pop();
      }
    else if (isMap(one))
      for (const { key, value } of one.items) {
        steps.push(isScalar(key) ? String(key.value) : "");
        visit(key);
        visit(value);
        steps.pop();
      }
  };
  visit(node);
  return found;
}

/** Undefined: the same as ours. */
function kubectlValue({ type, tag, source = "", value }: Scalar): boolean | number | undefined {
  if (type !== "PLAIN" || tag !== undefined) return undefined;
  const kubectl = booleanOf(source) ?? numberOf(source);
  return kubectl === value ? undefined : kubectl;
}

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...["y", "Y", "yes", "Yes", "YES", "on", "On", "ON"].map((word) => [word, true] as const),
  ...["n", "N", "no", "No", "NO", "off", "Off", "OFF"].map((word) => [word, false] as const),
]);

function booleanOf(source: string): boolean | undefined {
  return source.length > 3 ? undefined : BOOLEANS.get(source);
}

/** Hexadecimal, binary and octal numbers, the latter with or without an `o`. */
const BASED = /^([-+]?)(?:0x([0-9a-f]+)|0b([01]+)|0o?([0-7]+))$/i;
const DECIMAL = /^[-+]?[0-9]+(?:\.[0-9]*)?(?:e[-+]?[0-9]+)?$/i;
const BITS_64 = 2 ** 64;

/** Underscores do not count. */
function numberOf(source: string): number | undefined {
  if (!/^[-+]?[0-9]/.test(source)) return undefined;
  const plain = source.replaceAll("_", "");
  const [, sign, hexadecimal, binary, octal] = BASED.exec(plain) ?? [];
  const value =
    binary === undefined ? parseInt(hexadecimal ?? octal ?? "", octal === undefined ? 16 : 8) : parseInt(binary, 2);
  if (value < BITS_64) return sign === "-" ? -value : value;
  return DECIMAL.test(plain) ? Number(plain) : undefined;
}
