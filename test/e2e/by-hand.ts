import type { Expected } from "./mirror-model.ts";

/** The names of the snapshots on both sides, oldest first. */
export type Lists = Pick<Expected, "source" | "target">;

/** What a person does to the snapshots of a workload between two runs. */
export type ByHand = {
  readonly source: readonly string[];
  readonly target: readonly string[];
  /** Takes one of his own on the source. */
  readonly takes: boolean;
};

const NOTHING: ByHand = { source: [], target: [], takes: false };

type Deed = (lists: Lists) => ByHand;

/** One deed a run; where there is too little to delete nothing is done, so that both sides keep something in common. */
const DEEDS: readonly Deed[] = [
  () => NOTHING,
  ({ source }) => ({ ...NOTHING, source: source.slice(0, 1) }),
  ({ target }) => ({ ...NOTHING, target: target.slice(-1) }),
  () => ({ ...NOTHING, takes: true }),
  ({ source }) => ({ ...NOTHING, source: middle(source) }),
  ({ target }) => ({ ...NOTHING, target: middle(target) }),
  () => NOTHING,
  ({ source }) => ({ ...NOTHING, source: source.slice(-1) }),
  ({ target }) => ({ ...NOTHING, target: target.slice(0, 1) }),
  ({ source, target }) => ({ ...NOTHING, source: middle(source), target: middle(target) }),
  ({ source }) => ({ ...NOTHING, source: source.filter((name) => !name.startsWith("IAB_")) }),
];

/** What is done to the workload of this number before this run: always the same, and for each workload something else. */
export function byHand(run: number, workload: number, lists: Lists): ByHand {
  const deed = DEEDS[(run + 3 * workload) % DEEDS.length] ?? (() => NOTHING);
  const done = deed(lists);
  const target = new Set(lists.target.filter((name) => !done.target.includes(name)));
  const common = lists.source.filter((name) => !done.source.includes(name) && target.has(name));
  return common.length > 0 ? done : NOTHING;
}

function middle(names: readonly string[]): string[] {
  return names.length < 3 ? [] : names.slice(1, 2);
}
