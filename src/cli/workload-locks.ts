import type { Config } from "../config/config.ts";
import { awaitLock, isHeld } from "../execute/await-lock.ts";
import type { Side } from "../model/job.ts";
import type { Plan, Skipped, Step } from "../model/plan.ts";
import type { Lock, World } from "../model/ports.ts";
import { MINUTE_MS } from "../model/time.ts";
import { type Unit, unitId } from "../model/unit.ts";

/** The lock of one workload, by its server's address: who replicates it and who backs it up are not at it at once. */
export function workloadLockName(serverUrl: string, unit: Unit): string {
  return `workload ${unitId(unit)} on ${serverUrl}`;
}

/** An offsite run that has a workload only to take its snapshot is waited for; not one that uploads it. */
const PATIENCE_MS = 2 * MINUTE_MS;

/**
 * Works with the locks of all workloads of a plan, on both sides. Those that another run is at work on are left out, with all
 * that cannot be done without them.
 */
export async function withWorkloads<T>(
  plan: Plan,
  config: Config,
  world: World,
  work: (plan: Plan) => Promise<T>,
): Promise<T> {
  const locks: Lock[] = [];
  const busy: Skipped[] = [];
  const giveUpAt = world.clock.now() + PATIENCE_MS;
  const lockOne = async (workload: Unit, names: readonly string[]) => {
    for (const name of names) {
      const take = () => world.locks.take(name, () => "");
      const [taken] = await Promise.allSettled([awaitLock(workload, take, { ...world, giveUpAt }, world.signal)]);
      if (taken.status === "fulfilled") locks.push(taken.value);
      else if (isHeld(taken.reason)) return void busy.push(leftOut(workload, "another run of iab is at work on it"));
      else throw taken.reason;
    }
  };
  try {
    const wanted = [...workloadsOf(plan, config).values()].map(({ unit, names }) => lockOne(unit, [...names]));
    const failed = (await Promise.allSettled(wanted)).find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
    return await work(without(busy, plan));
  } finally {
    await Promise.all(locks.map((lock) => lock.release()));
  }
}

type Wanted = { readonly unit: Unit; readonly names: Set<string> };

function workloadsOf({ steps }: Plan, { hosts }: Config): Map<string, Wanted> {
  const found = new Map<string, Wanted>();
  for (const step of steps) {
    const id = unitId(step.workload);
    const wanted = found.get(id) ?? { unit: step.workload, names: new Set() };
    found.set(id, wanted);
    for (const [side, unit] of unitsOf(step)) wanted.names.add(workloadLockName(hosts[side].url, unit));
  }
  return found;
}

function unitsOf(step: Step): [Side, Unit][] {
  const source: [Side, Unit] = ["source", step.workload];
  switch (step.kind) {
    // A profile is no workload of anybody's, and made once.
    case "stand-in":
      return [];
    case "recover":
    case "snapshot":
      return [source];
    case "copy":
    case "mend":
    case "rehearse":
      return [source, ["target", step.copy.target]];
    case "reseed":
      return [source, ["target", step.replaces]];
    case "prune":
      return [source, [step.side, step.unit]];
    case "rename":
    case "grow":
    case "adopt":
      return [source, ["target", step.unit]];
  }
}

/** The plan without the workloads that are left out, and without those that need a step of theirs. */
function without(busy: readonly Skipped[], plan: Plan): Plan {
  if (busy.length === 0) return plan;
  const skipped = [...busy];
  const isOut = (unit: Unit) => skipped.some(({ workload }) => unitId(workload) === unitId(unit));
  for (;;) {
    const staying = plan.steps.filter(({ kind, workload }) => kind === "stand-in" || !isOut(workload));
    const needed = new Set(staying.flatMap(({ needs }) => needs));
    // A profile is made for all that name it, whichever of them it is listed with.
    const steps = staying.filter(({ kind, id }) => kind !== "stand-in" || needed.has(id));
    const left = new Set(steps.map(({ id }) => id));
    const torn = steps.find(({ needs }) => needs.some((id) => !left.has(id)));
    if (torn === undefined) return { ...plan, steps, skipped: [...plan.skipped, ...skipped] };
    skipped.push(leftOut(torn.workload, "it needs a workload that another run of iab is at work on"));
  }
}

function leftOut(workload: Unit, why: string): Skipped {
  return { workload, why, failed: true, hint: "the next run takes it; set the timers of both runs further apart" };
}
