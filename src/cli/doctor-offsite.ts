import { attempt, checkOf, type Finding, ok, warning } from "../doctor/attempt.ts";
import { openArchive } from "../kopia/open-archive.ts";
import type { Check } from "../model/check.ts";
import { AgentError } from "../model/errors.ts";
import type { OffsiteConfig } from "../model/offsite.ts";
import { rfc3339 } from "../model/time.ts";
import { windowState } from "../windows/window-state.ts";
import type { Context } from "./command.ts";
import type { Given } from "./doctor-servers.ts";
import { withHosts } from "./offsite-host.ts";
import { windowsOf } from "./offsite-windows.ts";
import { archiveOptions } from "./with-archive.ts";

/** Looks at what an offsite run needs; nothing where none is set up. */
export async function checkOffsite({ config, path, ready }: Given, context: Context): Promise<readonly Check[]> {
  const { offsite } = config;
  if (offsite === undefined) return [];
  if (!offsite.enabled) return [checkOf({ check: "offsite.enabled", subject: "offsite" }, ok("It is switched off"))];
  const { world, openHost } = context;
  const program = await checkProgram(context);
  const archive =
    program.state === "ok"
      ? await checkArchive(offsite, context)
      : checkOf({ check: "offsite.archive", subject: offsite.backend.type }, UNSEEN);
  const window = await withHosts(
    (side) => {
      if (ready.has(side)) return openHost(side, config, path, world);
      throw new AgentError("credentials.unusable", "There are no credentials to ask the host for its windows with");
    },
    (host) =>
      attempt(
        { check: "offsite.window", subject: "offsite.maintenance_windows" },
        async () => windowFinding(await windowsOf(offsite, host, world), world.clock.now()),
        world.signal,
      ),
  );
  return [program, archive, window];
}

const UNSEEN: Finding = { state: "unknown", text: "Without Kopia it cannot be opened", remedy: "Install Kopia first" };

function checkProgram({ world }: Context): Promise<Check> {
  const program = world.environment["IAB_KOPIA"] ?? "kopia";
  const look = async (): Promise<Finding> => {
    const { exitCode, stdout } = await world.processes.run({ argv: [program, "--version"] }, world.signal);
    if (exitCode !== 0) throw new AgentError("kopia.failed", `${program} --version ended with ${exitCode}`);
    return ok(`Kopia ${stdout.trim().split(/\s/)[0] ?? ""}`);
  };
  return attempt({ check: "offsite.program", subject: program }, look, world.signal);
}

function checkArchive(offsite: OffsiteConfig, { world }: Context): Promise<Check> {
  const look = async (): Promise<Finding> => {
    const [opened] = await Promise.allSettled([openArchive(await archiveOptions(offsite, world), world.signal)]);
    if (opened.status === "rejected") {
      const isEmpty = opened.reason instanceof AgentError && opened.reason.code === "kopia.empty";
      if (!isEmpty || !offsite.create) throw opened.reason;
      return ok("There is none yet; the next run makes it (offsite.create)");
    }
    const archive = opened.value;
    try {
      return archiveFinding(offsite, (await archive.list(world.signal)).length);
    } finally {
      await archive.close();
    }
  };
  return attempt({ check: "offsite.archive", subject: offsite.backend.type }, look, world.signal);
}

function archiveFinding({ create }: OffsiteConfig, backups: number): Finding {
  const text = backups === 0 ? "It opens, and holds no backup of ours yet" : `It opens; ${backups} backups of ours`;
  if (!create) return ok(text);
  return warning(
    `${text}, and offsite.create would make another where a slip in offsite.backend points to`,
    "Take offsite.create out, now that the repository is there",
  );
}

type Windows = Awaited<ReturnType<typeof windowsOf>>;

function windowFinding({ windows, zone }: Windows, now: number): Finding {
  if (windows.length === 0) return ok("Any time will do");
  const { active, opensAt, closesAt } = windowState(windows, zone, now);
  if (active) return ok(`One is open${closesAt === undefined ? "" : ` until ${rfc3339(closesAt)}`}`);
  if (opensAt !== undefined) return ok(`None is open; the next one opens at ${rfc3339(opensAt)}`);
  return { state: "failed", text: "None ever opens", remedy: "Correct offsite.maintenance_windows" };
}
