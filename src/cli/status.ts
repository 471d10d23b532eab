import { Command } from "commander";
import { z } from "zod";
import { jobsOf } from "../config/jobs-of.ts";
import { survey } from "../inventory/survey.ts";
import type { Servers } from "../model/ports.ts";
import { isOwnSnapshotName } from "../model/snapshot.ts";
import type { Stock, StockRow } from "../model/stock.ts";
import { makePlan } from "../plan/make-plan.ts";
import { runName } from "../plan/run-name.ts";
import { takeStock } from "../plan/take-stock.ts";
import { type Notices, stockCsv, stockJson, stockMetrics, stockText } from "../render/stock-text.ts";
import { inFormat } from "../render/table.ts";
import type { Actions, Context } from "./command.ts";
import { EXIT } from "./exit.ts";
import { lookOf } from "./print.ts";
import { withConfiguredServers } from "./with-servers.ts";

const Flags = z.object({ prometheus: z.boolean(), sizes: z.boolean(), strict: z.boolean() });
type Flags = z.infer<typeof Flags>;

const HELP = `
Examples:
  iab status
  iab status --prometheus > /var/lib/prometheus/node-exporter/iab.prom`;

/** `iab status`. */
export function statusCommand(actions: Actions): Command {
  return new Command("status")
    .description(
      "Show every workload on both sides: newest snapshot, newest proven copy, lag, and what is not covered.",
    )
    .option("--prometheus", "print metrics for a textfile collector", false)
    .option("--sizes", "ask for the sizes of snapshots too: a request for each workload", false)
    .option("--strict", "end with exit code 7 where something needs a person", false)
    .addHelpText("after", HELP)
    .action(actions(Flags, (flags, _operands, context) => status(flags, context)));
}

/** Looks at both servers and tells how far every workload's copy is behind. Changes nothing. */
async function status(flags: Flags, context: Context): Promise<number> {
  const { world } = context;
  const now = world.clock.now();
  return withConfiguredServers(context, async (config, servers) => {
    const jobs = jobsOf(config, { iosFix: true });
    const state = await survey(jobs, servers, world.signal);
    const bare = takeStock(jobs, state, now);
    const stock = flags.sizes ? await withSizes(bare, servers, world.signal) : bare;
    const notices: Notices = makePlan(jobs, state, { now, run: runName(state, now) });
    world.print(flags.prometheus ? stockMetrics(stock, notices) : printed(stock, notices, context));
    return flags.strict && needsAPerson(stock, notices) ? EXIT.warnings : EXIT.ok;
  });
}

function printed(stock: Stock, notices: Notices, { globals, world }: Context): string {
  return inFormat(globals.format, {
    text: () => stockText(stock, notices, lookOf(world)),
    data: () => stockJson(stock, notices),
    csv: () => stockCsv(stock),
  });
}

function needsAPerson({ rows, uncovered }: Stock, { skipped, warnings }: Notices): boolean {
  const unproven = rows.some(({ side, proven }) => side === "target" && proven === undefined);
  const unknown = rows.some((row) => row.unknown !== undefined);
  return unproven || unknown || uncovered.length > 0 || skipped.some(({ failed }) => failed) || warnings.length > 0;
}

/** Bulk lists do not tell sizes, so each unit is asked for its own. */
async function withSizes(stock: Stock, servers: Servers, signal: AbortSignal): Promise<Stock> {
  const sized = async (row: StockRow): Promise<StockRow> => {
    if (!row.exists || row.unknown !== undefined) return row;
    const snapshots = await servers[row.side].snapshots(row.unit, signal);
    const sizes = snapshots.filter(({ name }) => isOwnSnapshotName(name)).flatMap(({ sizeBytes }) => sizeBytes ?? []);
    return { ...row, sizeBytes: sizes.length === 0 ? undefined : sizes.reduce((sum, size) => sum + size, 0) };
  };
  return { ...stock, rows: await Promise.all(stock.rows.map(sized)) };
}
