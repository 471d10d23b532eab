import { Command } from "commander";
import { z } from "zod";
import type { Config } from "../config/config.ts";
import { jobsOf } from "../config/jobs-of.ts";
import { parseConfig } from "../config/parse-config.ts";
import { executeOffsite } from "../execute/execute-offsite.ts";
import { surveyForOffsite } from "../inventory/survey.ts";
import { ownerText } from "../kopia/arguments.ts";
import { prepareArchive } from "../kopia/open-archive.ts";
import type { Backup } from "../model/archive.ts";
import type { Side } from "../model/job.ts";
import type { OffsiteConfig } from "../model/offsite.ts";
import type { OffsiteOutcomes, OffsitePlan, OffsiteReport, OffsiteWarning } from "../model/offsite-plan.ts";
import type { Archive, World } from "../model/ports.ts";
import { SECOND_MS } from "../model/time.ts";
import { makeOffsitePlan } from "../plan/make-offsite-plan.ts";
import { overdueSteps } from "../plan/overdue.ts";
import { PLAIN } from "../render/look.ts";
import { offsitePlanText } from "../render/offsite-plan-text.ts";
import { offsiteReportText } from "../render/offsite-report-text.ts";
import type { Actions, Context } from "./command.ts";
import { EXIT, exitCodeOfOffsiteRun, exitCodeOfPlan } from "./exit.ts";
import { findConfig } from "./find-config.ts";
import { type Ended, withNotices } from "./notices.ts";
import { type OffsiteHost, withHosts } from "./offsite-host.ts";
import { offsiteLockName, watchOffsite } from "./offsite-progress.ts";
import { restoreOnce } from "./offsite-restore-once.ts";
import { toolsFor } from "./offsite-tools.ts";
import { openWindow, type WatchedWindow, watchWindow, windowsOf } from "./offsite-windows.ts";
import { lookOf } from "./print.ts";
import { archiveOptions, offsitePart, ownerOf } from "./with-archive.ts";

/** A run ends within half a minute when its window closes, and most of that is Kopia's. */
const LIST_MS = 5 * SECOND_MS;

const Flags = z.object({ dryRun: z.boolean(), ignoreWindows: z.boolean(), strict: z.boolean() });

type Args = Readonly<z.infer<typeof Flags>> & { readonly workloads: readonly string[] };

const EXAMPLES = `
It runs inside the maintenance windows of the configuration only. Outside it ends at once with exit code 75; when one closes
before all is done, it ends in order (offsite.window_end: stop), again with 75, and the next run goes on from there.

Examples:
  iab offsite run --dryRun          what would be backed up, and how it is read
  iab offsite run web1 'local/*'    these only, without tidying the repository up
  iab offsite run --ignore-windows  at once and to the end, as for a first backup`;

/** `iab offsite run`: backs up what the configuration chooses. */
export function offsiteRunCommand(actions: Actions): Command {
  return new Command("run")
    .description("Back up what offsite.sources chooses, remove old backups, tidy the repository up.")
    .argument("[workloads...]", "only these, as the incus CLI spells them: web1, project/web1, pool/volume, 'db*'")
    .option("--dryRun", "decide everything, print it, change nothing", false)
    .option("--ignore-windows", "do without a maintenance window, and go on when one closes", false)
    .option("--strict", "end with exit code 7 where there are warnings", false)
    .addHelpText("after", EXAMPLES)
    .action(
      actions(Flags, (flags, workloads, context) => {
        const args = { ...flags, workloads };
        return flags.dryRun ? show(args, context) : run(args, context);
      }),
    );
}

/** What a run works with once its configuration is read. */
type Setting = {
  readonly args: Args;
  readonly context: Context;
  readonly path: string;
  readonly config: Config;
  readonly offsite: OffsiteConfig;
  readonly host: (side: Side) => Promise<OffsiteHost>;
};

/** Decides everything, prints it and changes nothing. */
async function show(args: Args, context: Context): Promise<number> {
  const { world, globals } = context;
  const path = await findConfig(globals.config, world);
  const config = parseConfig(await world.files.read(path, world.signal));
  return withHosts(hostsOf(config, path, context), async (host) => {
    const setting = { args, context, path, config, offsite: offsitePart(config, path), host };
    const windows = await windowsOf(setting.offsite, host, world);
    const plan = await decide(setting, windows.pending, world.signal);
    world.print(offsitePlanText(globals.format, plan, lookOf(world)));
    return exitCodeOfPlan(plan, args);
  });
}

/** Backs up what the configuration chooses, and keeps the archive in order. */
async function run(args: Args, context: Context): Promise<number> {
  const { world, globals } = context;
  const path = await findConfig(globals.config, world);
  const text = await world.files.read(path, world.signal);
  return withNotices(text, "offsite", world, async (config, begin) => {
    const offsite = offsitePart(config, path);
    if (!offsite.enabled) {
      world.log.warn("offsite.disabled", { why: `offsite.enabled is false in ${path}` });
      return { exitCode: EXIT.ok, report: "" };
    }
    return withHosts(hostsOf(config, path, context), (host) =>
      withinWindow({ args, context, path, config, offsite, host }, begin),
    );
  });
}

function hostsOf(config: Config, path: string, { world, openHost }: Context) {
  return (side: Side) => openHost(side, config, path, world);
}

/** Works while a window is open, with the lock of the owner's runs. */
async function withinWindow(setting: Setting, begin: () => Promise<void>): Promise<Ended> {
  const { args, context, path, offsite, host } = setting;
  const { world } = context;
  const progress = watchOffsite(offsite, world);
  const lock = await world.locks.take(offsiteLockName(await ownerOf(offsite, world)), progress.tell);
  try {
    const windows = await windowsOf(offsite, host, world);
    const state = args.ignoreWindows ? undefined : openWindow(windows, world.clock.now());
    const window = watchWindow(offsite.windowEnd === "stop" ? state?.closesAt : undefined, world);
    try {
      await begin();
      if (args.workloads.length === 0) await restoreOnce(offsite, path, context);
      const report = await carryOut(setting, { window, pending: windows.pending, progress });
      printReport(report, context);
      const told = report.overdue.length > 0 ? EXIT.someFailed : report.exitCode;
      return { exitCode: report.exitCode, told, report: offsiteReportText("table", report, PLAIN) };
    } finally {
      window.end();
    }
  } finally {
    await lock.release();
  }
}

type Watching = {
  readonly window: WatchedWindow;
  readonly pending: string | undefined;
  readonly progress: ReturnType<typeof watchOffsite>;
};

async function carryOut(setting: Setting, { window, pending, progress }: Watching): Promise<OffsiteReport> {
  const { args, context, offsite } = setting;
  const { world, globals } = context;
  const { signal } = window;
  const startedAt = world.clock.now();
  const plan = await decide(setting, pending, signal);
  for (const { code, text } of plan.warnings) if (code === "update.pending") world.log.warn("update.pending", { text });
  const archive = await prepareArchive(await archiveOptions(offsite, world), signal);
  try {
    world.log.info("offsite.started", { run: plan.run.name, steps: plan.steps.length });
    const observer = progress.observe(plan, { silent: globals.quiet || !globals.progress });
    const outcomes = await executeOffsite(plan, await toolsFor(plan, setting, archive), observer, signal);
    const exitCode = exitCodeOfOffsiteRun(plan, outcomes, { ...args, windowClosed: window.hasClosed() }, world.signal);
    world.log.info("offsite.ended", { run: plan.run.name, exitCode });
    const ended = whatEnded(outcomes, window, world);
    const endedAt = world.clock.now();
    const backups = ended === "window" ? await listInPassing(archive, world) : [];
    const overdue = ended === "window" ? overdueSteps(plan, outcomes, backups, endedAt) : [];
    return { plan, outcomes, startedAt, endedAt, exitCode, ended, overdue };
  } finally {
    await archive.close();
  }
}

function whatEnded(outcomes: OffsiteOutcomes, window: WatchedWindow, { signal }: World): OffsiteReport["ended"] {
  if (signal.aborted) return "signal";
  return window.hasClosed() && [...outcomes.values()].some(({ state }) => state === "cancelled") ? "window" : null;
}

/** What is in the archive, if it says so at once: the window has closed. */
async function listInPassing(archive: Archive, { signal }: World): Promise<readonly Backup[]> {
  const [listed] = await Promise.allSettled([archive.list(AbortSignal.any([signal, AbortSignal.timeout(LIST_MS)]))]);
  return listed.status === "fulfilled" ? listed.value : [];
}

/** Looks at the servers whose workloads are named, and decides what is done with them. */
async function decide(setting: Setting, pending: string | undefined, signal: AbortSignal): Promise<OffsitePlan> {
  const { args, context, config, offsite, host } = setting;
  const { world } = context;
  const sides = [...new Set(offsite.sources.map((source) => source.host))];
  const servers = await Promise.all(sides.map(async (side) => [side, (await host(side)).server] as const));
  const likely = offsite.sources.flatMap(({ pools, volumes }) => [...pools, ...volumes.map(({ pool }) => pool)]);
  const state = await surveyForOffsite(Object.fromEntries(servers), likely, signal);
  const orders = {
    sources: offsite.sources,
    jobs: jobsOf(config, { iosFix: true }),
    owner: ownerText(await ownerOf(offsite, world)),
    now: world.clock.now(),
    only: args.workloads,
  };
  const plan = makeOffsitePlan(orders, state);
  return { ...plan, warnings: [...noticesOf(setting, pending), ...plan.warnings] };
}

function noticesOf({ args, offsite }: Setting, pending: string | undefined): OffsiteWarning[] {
  const update = `The host may start anew in its maintenance window, which the next run makes good: ${pending}`;
  const wish = `First backup ${offsite.restoreSnapshotId} is restored in the place of what is there`;
  return [
    ...(pending === undefined ? [] : [{ code: "update.pending" as const, what: undefined, text: update }]),
    // In a run it has been restored by now.
    ...(offsite.restoreSnapshotId === undefined || !args.dryRun
      ? []
      : [{ code: "restore.asked" as const, what: undefined, text: wish }]),
  ];
}

/** To be quiet means to say nothing of a run in which all went well. */
function printReport(report: OffsiteReport, { globals, world }: Context): void {
  if (globals.quiet && report.exitCode === EXIT.ok) return;
  world.print(offsiteReportText(globals.format, report, lookOf(world)));
}
