import { Command } from "commander";
import { z } from "zod";
import { parseConfig } from "../config/parse-config.ts";
import { windowText } from "../render/window-text.ts";
import { windowState } from "../windows/window-state.ts";
import type { Actions, Context } from "./command.ts";
import { EXIT } from "./exit.ts";
import { findConfig } from "./find-config.ts";
import { withHosts } from "./offsite-host.ts";
import { offsiteListCommand } from "./offsite-list.ts";
import { offsiteRestoreCommand } from "./offsite-restore.ts";
import { offsiteRunCommand } from "./offsite-run.ts";
import { offsiteStatusCommand } from "./offsite-status.ts";
import { offsiteVerifyCommand } from "./offsite-verify.ts";
import { windowsOf } from "./offsite-windows.ts";
import { parseTime } from "./parse-time.ts";
import { offsitePart } from "./with-archive.ts";

const WindowFlags = z.object({ at: z.string().optional() });

/** `iab offsite`: encrypted backups to another place. */
export function offsiteCommand(actions: Actions): Command {
  const window = new Command("window")
    .description("Say whether a maintenance window is open, and when that changes.")
    .option("--at <time>", "as if it were this time (RFC 3339)")
    .addHelpText(
      "after",
      "\nWindows are read as IncusOS reads them: to the minute, both ends included, on the clock of their time zone.\n\nExample:\n  iab offsite window --at 2026-11-22T03:00:00Z",
    )
    .action(actions(WindowFlags, showWindow));
  return new Command("offsite")
    .description("Encrypted backups to another place.")
    .addCommand(offsiteRunCommand(actions))
    .addHelpText("after", "\nExample:\n  iab offsite status")
    .addCommand(offsiteStatusCommand(actions))
    .addCommand(offsiteListCommand(actions))
    .addCommand(offsiteRestoreCommand(actions))
    .addCommand(offsiteVerifyCommand(actions))
    .addCommand(window);
}

async function showWindow(
  flags: z.infer<typeof WindowFlags>,
  _operands: readonly string[],
  context: Context,
): Promise<number> {
  const { world, globals } = context;
  const at = flags.at === undefined ? world.clock.now() : parseTime(flags.at, "--at");
  const path = await findConfig(globals.config, world);
  const config = parseConfig(await world.files.read(path, world.signal));
  const offsite = offsitePart(config, path);
  const { windows, zone } = await withHosts(
    (side) => context.openHost(side, config, path, world),
    (host) => windowsOf(offsite, host, world),
  );
  const shown = { at, zone, windows: windows.length, ...windowState(windows, zone, at) };
  world.print(windowText(globals.format, shown));
  return EXIT.ok;
}
