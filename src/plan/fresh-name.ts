import { MARKS } from "../model/marks.ts";
import type { Workload } from "../model/state.ts";
import type { Unit } from "../model/unit.ts";
import type { ServerIndex } from "./index-state.ts";

const FRESH = /-iab-new-\d+$/;

/** What a reseed moves out of its way and then deletes; with digits behind it, it is one that stays. */
const MOVED = /-iab-old$/;

/** Room for the longest suffix: an instance's name has at most 63 characters. */
const STEM_LENGTH = 40;
const DIGEST_DIGITS = 8;

/** The unit under which a fresh copy is made before it takes its replica's place. */
export function freshUnit(unit: Unit, run: string): Unit {
  return { ...unit, name: `${stemOf(unit.name)}-iab-new-${digitsOf(run)}` };
}

/** The name under which a replica that gave way stays. */
export function oldName({ name }: Unit, run: string): string {
  return `${stemOf(name)}-iab-old-${digitsOf(run)}`;
}

/** The name under which a replica gives way, before it is deleted. */
export function asideName({ name }: Unit): string {
  return `${stemOf(name)}-iab-old`;
}

/** The fresh copies of a replica that earlier runs left on the target. */
export function freshCopiesOf(unit: Unit, mark: string, leftovers: readonly Workload[]): Workload[] {
  return leftovers.filter(
    (each) =>
      each.kind === unit.kind &&
      each.project === unit.project &&
      each.config[MARKS.source] === mark &&
      each.name.replace(FRESH, "") === stemOf(unit.name) &&
      (each.kind === "instance" || unit.kind === "instance" || each.pool === unit.pool),
  );
}

/** Everything on the target that a reseed made or moved and would have put away at its end. */
export function leftoversOf({ instances, volumes }: ServerIndex): Workload[] {
  return [...instances.values(), ...volumes.values()].filter(
    ({ name, config }) => (FRESH.test(name) || MOVED.test(name)) && config[MARKS.source] !== undefined,
  );
}

/** A long name is cut, and what it was goes into its end: two that begin alike stay apart. */
function stemOf(name: string): string {
  if (name.length <= STEM_LENGTH) return name;
  return `${name.slice(0, STEM_LENGTH - DIGEST_DIGITS - 1)}-${digestOf(name)}`;
}

/** FNV-1a, of 32 bits. */
function digestOf(text: string): string {
  const hash = [...text].reduce((sum, each) => Math.imul(sum ^ (each.codePointAt(0) ?? 0), 0x01000193), 0x811c9dc5);
  return (hash >>> 0).toString(16).padStart(DIGEST_DIGITS, "0");
}

function digitsOf(run: string): string {
  return run.replace(/\D/g, "");
}
