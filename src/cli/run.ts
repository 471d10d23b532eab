import { Command } from "commander";
import { z } from "zod";
import type { Config } from "../config/config.ts";
import { jobsOf } from "../config/jobs-of.ts";
import { looseEnds } from "../config/loose-ends.ts";
import { actOn } from "../execute/act-on.ts";
import { executePlan } from "../execute/execute-plan.ts";
import { awaitRest, REST_MS } from "../inventory/await-rest.ts";
import { survey } from "../inventory/survey.ts";
import type { Report } from "../model/outcome.ts";
import type { Plan } from "../model/plan.ts";
import type { Servers } from "../model/ports.ts";
import type { EpochMs } from "../model/time.ts";
import { type Unit, unitId } from "../model/unit.ts";
import { makePlan } from "../plan/make-plan.ts";
import { narrowPlan } from "../plan/narrow-plan.ts";
import { runName } from "../plan/run-name.ts";
import { PLAIN } from "../render/look.ts";
import { reportText } from "../render/report-text.ts";
import { isRetraction } from "../render/step-lines.ts";
import type { Actions, Context } from "./command.ts";
import { exitCodeOfPlan, exitCodeOfRun } from "./exit.ts";
import { findConfig } from "./find-config.ts";
import { withNotices } from "./notices.ts";
import { printPlan, printReport } from "./print.ts";
import { watchProgress } from "./progress.ts";
import { withConfiguredServers, withServers } from "./with-servers.ts";
import { withWorkloads } from "./workload-locks.ts";

const PlanFlags = z.object({
  iOSfix: z.boolean(),
  adopt: z.array(z.string()),
  reseed: z.array(z.string()),
  strict: z.boolean(),
});
const RunFlags = PlanFlags.extend({ dryRun: z.boolean(), dryRunCopy: z.boolean(), dryRunPrune: z.boolean() });

type PlanArgs = Readonly<z.infer<typeof PlanFlags>> & { readonly workloads: readonly string[] };
type RunArgs = PlanArgs & Readonly<z.infer<typeof RunFlags>>;

const WORKLOADS = "only these, as the incus CLI spells them: web1, project/web1, pool/volume, 'db*'";

/** `iab run`, and `iab` alone. */
export function runCommand(actions: Actions): Command {
  return planFlags(new Command("run"))
    .description("Snapshot, replicate and prune everything that the configuration names.")
    .option("--dryRun", "decide everything, print it, and change nothing; as iab plan", false)
    .option("--dryRunCopy", "the same: without a proven copy nothing is pruned either", false)
    .option("--dryRunPrune", "snapshot and copy, but only print what would be pruned", false)
    .addHelpText(
      "after",
      "\nExample:\n  iab run                    everything\n  iab run web1 'db*'         only these workloads",
    )
    .action(
      actions(RunFlags, (flags, workloads, context) => {
        const args = { ...flags, workloads };
        return flags.dryRun || flags.dryRunCopy ? plan(args, context) : run(args, context);
      }),
    );
}

/** `iab plan`. */
export function planCommand(actions: Actions): Command {
  return planFlags(new Command("plan"))
    .description("Print what a run would do, and why. Changes nothing on either server.")
    .addHelpText("after", "\nExample:\n  iab plan -f json | jq '.steps[].id'")
    .action(actions(PlanFlags, (flags, workloads, context) => plan({ ...flags, workloads }, context)));
}

function planFlags(command: Command): Command {
  return command
    .argument("[workloads...]", WORKLOADS)
    .option("--iOSfix", "the target follows the source's retention policies", true)
    .option("--no-iOSfix", "the target has retention policies of its own")
    .option("--adopt <name>", "take over a replica that is not marked as this workload's", also, [])
    .option("--reseed <name>", "replace the replica by a fresh copy, once that is proven", also, [])
    .option("--strict", "end with exit code 7 where there are warnings", false);
}

function also(name: string, names: readonly string[]): string[] {
  return [...names, name];
}

/** Decides everything, prints it and changes nothing. */
async function plan(args: PlanArgs, context: Context): Promise<number> {
  const startedAt = context.world.clock.now();
  return withConfiguredServers(context, async (config, servers) => {
    const { whole } = await decide(config, servers, { startedAt, patienceMs: 0 }, args, context);
    printPlan(whole, context);
    return exitCodeOfPlan(whole, args);
  });
}

/** Replicates everything that the configuration names, then thins out old snapshots. */
async function run(args: RunArgs, context: Context): Promise<number> {
  const { world, globals } = context;
  const path = await findConfig(globals.config, world);
  const lock = await world.files.lock(path);
  try {
    const text = await world.files.read(path, world.signal);
    return await withNotices(text, "run", world, async (config, begin) => {
      await begin();
      return withServers(config, path, context, async (servers) => {
        const { report, withheld } = await carryOut(config, servers, args, context);
        printReport(report, withheld, context);
        return { exitCode: report.exitCode, report: reportText(report, PLAIN) };
      });
    });
  } finally {
    await lock.release();
  }
}

type CarriedOut = { readonly report: Report; readonly withheld: Plan | undefined };

async function carryOut(config: Config, servers: Servers, args: RunArgs, context: Context): Promise<CarriedOut> {
  const { world } = context;
  const { clock } = world;
  const startedAt = clock.now();
  const { whole, withoutPruning } = await decide(config, servers, { startedAt, patienceMs: REST_MS }, args, context);
  return withWorkloads(args.dryRunPrune ? withoutPruning() : whole, config, world, async (decided) => {
    const { outcomes, exitCode } = await execute(decided, config, servers, args, context);
    const report = { plan: decided, outcomes, startedAt, endedAt: clock.now(), exitCode };
    return { report, withheld: args.dryRunPrune ? onlyPruning(whole) : undefined };
  });
}

async function execute(decided: Plan, config: Config, servers: Servers, args: RunArgs, { world, globals }: Context) {
  const { clock, log, signal } = world;
  log.info("run.started", { run: decided.run, steps: decided.steps.length });
  const observer = watchProgress(decided, world, { silent: globals.quiet || !globals.progress });
  const act = actOn({ servers, clock, log, run: decided.run });
  const outcomes = await executePlan(decided, { act, observer, concurrency: config.concurrency }, signal);
  const exitCode = exitCodeOfRun(decided, outcomes, args, signal);
  log.info("run.ended", { run: decided.run, exitCode });
  return { outcomes, exitCode };
}

type Decided = { readonly whole: Plan; readonly withoutPruning: () => Plan };

async function decide(
  config: Config,
  servers: Servers,
  { startedAt: now, patienceMs }: { readonly startedAt: EpochMs; readonly patienceMs: number },
  { iOSfix: iosFix, adopt, reseed, workloads }: PlanArgs,
  { world }: Context,
): Promise<Decided> {
  const jobs = jobsOf(config, { iosFix });
  const { clock, log, signal } = world;
  const onWait = (units: readonly Unit[]) => log.info("target.busy", { units: units.map(unitId) });
  const busy = await awaitRest(jobs, servers.target, { clock, patienceMs, onWait }, signal);
  const surveyed = await survey(jobs, servers, signal);
  const state = { ...surveyed, target: { ...surveyed.target, busy } };
  const orders = { now, run: runName(state, now), iosFix, adopt, reseed };
  const narrowed = (plan: Plan) => narrowPlan(withLooseEnds(plan, config), workloads);
  return {
    whole: narrowed(makePlan(jobs, state, orders)),
    withoutPruning: () => narrowed(makePlan(jobs, state, { ...orders, withoutPruning: true })),
  };
}

/** Who misspells a name in the configuration has another policy at work than he thinks. */
function withLooseEnds(plan: Plan, config: Config): Plan {
  const unused = looseEnds(config).map((text) => ({ code: "policy.unused" as const, workload: undefined, text }));
  return { ...plan, warnings: [...unused, ...plan.warnings] };
}

function onlyPruning(plan: Plan): Plan {
  const steps = plan.steps.filter((step) => step.kind === "prune" && !isRetraction(step));
  return { ...plan, steps, skipped: [], warnings: [] };
}
