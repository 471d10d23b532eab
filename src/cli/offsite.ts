import { Command } from "commander";
import { z } from "zod";
import { parseConfig } from "../config/parse-config.ts";
import { readHostWindows } from "../incus/host-windows.ts";
import { AgentError } from "../model/errors.ts";
import type { MaintenanceWindow, OffsiteConfig } from "../model/offsite.ts";
import { windowText } from "../render/window-text.ts";
import { windowState } from "../windows/window-state.ts";
import type { Actions, Context } from "./command.ts";
import { EXIT } from "./exit.ts";
import { findConfig } from "./find-config.ts";
import { offsiteListCommand } from "./offsite-list.ts";
import { offsiteRestoreCommand } from "./offsite-restore.ts";
import { offsiteStatusCommand } from "./offsite-status.ts";
import { offsiteVerifyCommand } from "./offsite-verify.ts";
import { parseTime } from "./parse-time.ts";

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
  const { windows, zone } = await windowsOf(context);
  const shown = { at, zone, windows: windows.length, ...windowState(windows, zone, at) };
  world.print(windowText(globals.format, shown));
  return EXIT.ok;
}

type Windows = { readonly windows: readonly MaintenanceWindow[]; readonly zone: string };

async function windowsOf({ globals, world }: Context): Promise<Windows> {
  const path = await findConfig(globals.config, world);
  const config = parseConfig(await world.files.read(path, world.signal));
  const { offsite } = config;
  if (offsite === undefined) {
    throw new AgentError("config.invalid", `Cannot tell the maintenance windows: ${path} has no offsite part`);
  }
  if (offsite.maintenanceWindows !== "incusos") {
    return { windows: offsite.maintenanceWindows, zone: offsite.timeZone ?? zoneOfThisMachine() };
  }
  const { connectTo } = await import("./connect.ts");
  const server = await connectTo(hostOf(offsite), config, path, world);
  try {
    return await readHostWindows(server.connection, world.signal);
  } finally {
    await server.close();
  }
}

/** The host whose workloads are backed up. */
function hostOf({ sources }: OffsiteConfig) {
  return sources[0]?.host ?? "source";
}

function zoneOfThisMachine(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}
