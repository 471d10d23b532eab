import type { Nanos } from "./nanos.ts";

type Comparable = { readonly name: string; readonly createdAt: Nanos };

/**
 * What a refresh does to the target's snapshots: those that the source lacks, by name or date, are deleted; those that
 * the target lacks are asked for, with `excludeOlder` only if they are newer than the newest that both have.
 */
export function compareSnapshots(
  source: readonly Comparable[],
  target: readonly Comparable[],
  excludeOlder: boolean,
): { wanted: string[]; surplus: string[] } {
  const onSource = new Map(source.map((snapshot) => [snapshot.name, snapshot.createdAt]));
  const onTarget = new Map(target.map((snapshot) => [snapshot.name, snapshot.createdAt]));
  const isCommon = (snapshot: Comparable): boolean => onSource.get(snapshot.name) === snapshot.createdAt;
  const newestCommon = target
    .filter(isCommon)
    .reduce<Nanos | undefined>(
      (newest, { createdAt: at }) => (newest === undefined || at > newest ? at : newest),
      undefined,
    );
  const isWanted = ({ name, createdAt }: Comparable): boolean => {
    const there = onTarget.get(name);
    if (there !== undefined) return there !== createdAt;
    return !excludeOlder || newestCommon === undefined || createdAt > newestCommon;
  };
  return {
    wanted: source.filter(isWanted).map((snapshot) => snapshot.name),
    surplus: target.filter((snapshot) => !isCommon(snapshot)).map((snapshot) => snapshot.name),
  };
}
