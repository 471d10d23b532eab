import { Command, Option } from "commander";
import { z } from "zod";
import { AgentError } from "../model/errors.ts";
import { SIDES } from "../model/job.ts";
import type { Policy } from "../model/policy.ts";
import type { World } from "../model/ports.ts";
import { snapshotNameTime } from "../model/snapshot.ts";
import type { EpochMs } from "../model/time.ts";
import { type Explained, explainText, simulationText } from "../render/retention-text.ts";
import { parsePolicy, parseSpan } from "../retention/parse-policy.ts";
import { simulate, type Walk, walkSize } from "../retention/simulate.ts";
import { thin } from "../retention/thin.ts";
import type { Actions, Context } from "./command.ts";
import { EXIT } from "./exit.ts";
import { parseTime } from "./parse-time.ts";
import { snapshotsOn } from "./snapshots-on.ts";

const Options = z.object({
  from: z.enum(SIDES).optional(),
  now: z.string().optional(),
  simulate: z.string().optional(),
  every: z.string().optional(),
});

/** More verdicts than that take more than some seconds. */
const LONGEST_WALK = 20_000_000;

const EXPLAIN_HELP = `
Names are read from stdin, one a line, and aged by the time in the name; with --from they are those of a workload on a
server, aged by the server's own date. Months are 30 days, years 365.

Examples:
  incus snapshot list web1 -f csv -c n | iab retention explain 6,1h2d,1d2w
  iab retention explain 6,1h2d,1d2w --from target web1
  iab retention explain 6,1h2d,1d2w,1w3m --simulate 400d --every 1h`;

/** `iab retention`: what policies do, without doing it. */
export function retentionCommand(actions: Actions): Command {
  const explain = new Command("explain")
    .summary("say of each snapshot whether a policy keeps it, and why")
    .description("Say of each snapshot whether a policy keeps it, and by which of its rules.")
    .argument("<policy>", "the policy, as in config.json: 6,1h2d,1d2w")
    .argument("[workload]", "with --from: web1, project/web1, pool/volume")
    .addOption(new Option("--from <side>", "read the snapshots of a workload from this server").choices(SIDES))
    .option("--now <time>", "judge as if it were this time (RFC 3339)")
    .option("--simulate <span>", "instead of reading names, walk the policy forward for this long: 400d")
    .option("--every <span>", "how often the walk takes a snapshot (default: 1h)")
    .addHelpText("after", EXPLAIN_HELP)
    .action(actions(Options, explainPolicy));
  return new Command("retention")
    .description("Explain and try out retention policies.")
    .addHelpText("after", "\nExample:\n  iab retention explain 6,1h2d,1d2w --from target web1")
    .addCommand(explain);
}

async function explainPolicy(
  options: z.infer<typeof Options>,
  [policyText = "", workload]: readonly string[],
  context: Context,
): Promise<number> {
  const { globals, world } = context;
  const policy = parsePolicy(policyText);
  const now = options.now === undefined ? world.clock.now() : parseTime(options.now, "--now");
  refuseMixtures(options, workload);
  if (options.simulate !== undefined) {
    const walk = walkOf(policy, { from: now, span: options.simulate, every: options.every ?? "1h" });
    world.print(simulationText(globals.format, policy, simulate(policy, walk)));
    return EXIT.ok;
  }
  const verdicts =
    options.from === undefined || workload === undefined
      ? explainNames(await readNames(world), policy, now)
      : thin(await snapshotsOn(options.from, workload, context), policy, now);
  world.print(explainText(globals.format, policy, verdicts, now));
  return EXIT.ok;
}

/** Says what does not go together, rather than leaving something out of account. */
function refuseMixtures({ from, simulate: span, every }: z.infer<typeof Options>, workload: string | undefined): void {
  const problem =
    (every !== undefined && span === undefined && "--every without --simulate") ||
    (from !== undefined && span !== undefined && "--from with --simulate: a walk begins with nothing") ||
    (from !== undefined && workload === undefined && "--from without the name of a workload") ||
    (from === undefined && workload !== undefined && `the workload ${workload} without --from source or --from target`);
  if (problem !== false) throw new AgentError("usage", `Cannot use ${problem}`);
}

async function readNames({ terminal, signal }: World): Promise<string[]> {
  if (terminal.stdinIsTerminal) {
    throw new AgentError("usage", "Cannot explain without names: they are read from stdin, one a line", {
      hint: "Try: incus snapshot list web1 -f csv -c n | iab retention explain 6,1h2d,1d2w",
    });
  }
  const lines = (await terminal.readInput(signal)).split(/\r?\n/);
  return lines.map((line) => line.trim()).filter((line) => line !== "");
}

/** One verdict for each line, though a name that stands there twice is one snapshot. */
function explainNames(names: readonly string[], policy: Policy, now: EpochMs): Explained[] {
  const dated = [...new Set(names)].flatMap((given) => {
    const name = given.slice(given.lastIndexOf("/") + 1);
    const createdAt = snapshotNameTime(name);
    return createdAt === undefined ? [] : [{ given, name, createdAt }];
  });
  const verdicts = thin(dated, policy, now);
  const byName = new Map(dated.map(({ given }, index) => [given, verdicts[index]]));
  return names.map((name) => {
    const verdict = byName.get(name);
    if (verdict !== undefined) return { ...verdict, name };
    return { name, at: undefined, verdict: "unmanaged", reasons: ["not a name of ours"] };
  });
}

function walkOf(policy: Policy, wanted: { from: EpochMs; span: string; every: string }): Walk {
  const walk = {
    from: wanted.from,
    spanMs: spanOf(wanted.span, "--simulate"),
    everyMs: spanOf(wanted.every, "--every"),
  };
  if (walk.everyMs > walk.spanMs) {
    throw new AgentError("usage", `Cannot walk for ${wanted.span} in steps of ${wanted.every}: the step is longer`);
  }
  if (walkSize(policy, walk) > LONGEST_WALK) {
    throw new AgentError(
      "usage",
      `Cannot walk for ${wanted.span} in steps of ${wanted.every}: it would take too long`,
      {
        hint: "Take larger steps with --every, or a shorter time",
      },
    );
  }
  return walk;
}

function spanOf(text: string, flag: string): number {
  const spanMs = parseSpan(text);
  if (spanMs !== undefined) return spanMs;
  throw new AgentError("usage", `Cannot read ${flag} ${text}: expected a span such as 1h or 400d`);
}
