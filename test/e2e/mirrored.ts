import { z } from "zod";
import type { Unit } from "../../src/model/unit.ts";
import type { Policies, TestPolicy } from "./mirror-model.ts";

/** A workload with a pair of policies of its own. */
export type Mirrored = {
  readonly unit: Unit;
  readonly replica: Unit;
  /** Where the replica is to be. */
  readonly targetPool: string;
  readonly policies: Policies;
  /** The target may lack what the source has, without harm. */
  readonly gapSafe: boolean;
  /** What each snapshot of the source held when it was taken. */
  readonly digests: Map<string, string>;
};

/** Policies of the two sides that stand to one another in every way. */
export const POLICIES: Readonly<Record<string, Policies>> = {
  equal: { source: newest(3), target: newest(3) },
  shorter: { source: newest(4), target: newest(2) },
  longer: { source: newest(2), target: newest(5) },
  dated: {
    source: { text: "1,10s40s", newest: 1, rule: { periodMs: 10_000, ttlMs: 40_000 } },
    target: { text: "2,20s1min", newest: 2, rule: { periodMs: 20_000, ttlMs: 60_000 } },
  },
};
/** What a run says of itself. */
export const Report = z.object({
  run: z.string(),
  startedAt: z.string(),
  outcomes: z.array(
    z.object({
      id: z.string(),
      workload: z.string(),
      state: z.string(),
      error: z.object({ message: z.string() }).optional(),
    }),
  ),
  skipped: z.array(z.object({ workload: z.string(), why: z.string() })),
});

/** What the policies of a workload come to in a run: with `--iOSfix` the target has the source's. */
export function policiesOf({ policies }: Mirrored, iosFix: boolean): Policies {
  return iosFix ? { ...policies, target: policies.source } : policies;
}

/** A configuration in which each workload has a pair of policies of its own. */
export function configOf(project: string, workloads: readonly Mirrored[]) {
  const of = (kind: Unit["kind"]) => workloads.filter(({ unit }) => unit.kind === kind);
  const byName = (kind: Unit["kind"], side: keyof Policies) =>
    Object.fromEntries(of(kind).map(({ unit, policies }) => [unit.name, policies[side].text]));
  const host = (side: keyof Policies) => ({
    projects: {
      [project]: { instances: { byName: byName("instance", side) }, volumes: { byName: byName("volume", side) } },
    },
  });
  const volumes = workloads.flatMap(({ unit, targetPool }) =>
    unit.kind === "volume" ? [{ name: unit.name, storage: unit.pool, targetStorage: targetPool }] : [],
  );
  const instances = of("instance").map(({ unit, targetPool }) => ({ name: unit.name, storage: targetPool }));
  return {
    projects: [{ name: project, mode: "pull", instances, volumes }],
    retention: { hosts: { source: host("source"), target: host("target") } },
  };
}

function newest(count: number): TestPolicy {
  return { text: String(count), newest: count };
}
