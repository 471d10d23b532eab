import { z } from "zod";
import { nearest } from "./nearest.ts";

/**
 * An object with just these keys. They may be written in any case, as Go's JSON reader takes them, and `null` stands
 * for a key that is not there. An unknown key is told together with the nearest known one.
 */
export function keyed<Shape extends z.core.$ZodShape>(shape: Shape) {
  const known = Object.keys(shape);
  const strict = z.strictObject(shape, {
    error: ({ code, keys }) => (code === "unrecognized_keys" ? unknownKeysText(keys, known) : undefined),
  });
  return z.preprocess((given) => (isObject(given) ? withKnownKeys(given, known) : given), strict);
}

function isObject(given: unknown): given is Record<string, unknown> {
  return typeof given === "object" && given !== null && !Array.isArray(given);
}

/** A key that stands there twice in different cases is left as it is, and so becomes an unknown one. */
function withKnownKeys(given: Record<string, unknown>, known: readonly string[]): Record<string, unknown> {
  const entries = new Map<string, unknown>();
  for (const [key, value] of Object.entries(given).filter(([, value]) => value !== null)) {
    const name = known.find((one) => one.toLowerCase() === key.toLowerCase()) ?? key;
    entries.set(name !== key && (name in given || entries.has(name)) ? key : name, value);
  }
  return Object.fromEntries(entries);
}

/** One line for each key, in their order. */
function unknownKeysText(keys: readonly string[], known: readonly string[]): string {
  return keys.map((key) => unknownKeyText(key, known)).join("\n");
}

function unknownKeyText(key: string, known: readonly string[]): string {
  const same = known.find((name) => name.toLowerCase() === key.toLowerCase());
  if (same !== undefined) return `is "${same}" in another case, and both stand here`;
  const near = nearest(key, known);
  return near === undefined ? `unknown key, known are ${known.join(", ")}` : `unknown key, did you mean "${near}"?`;
}
