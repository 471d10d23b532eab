import type { Check } from "../model/check.ts";
import type { Side } from "../model/job.ts";
import type { Clock, ServerReader } from "../model/ports.ts";
import type { Capabilities, ServerFacts } from "../model/state.ts";
import { SECOND_MS } from "../model/time.ts";
import { attempt, checkOf, type Finding, failure, ok, warning } from "./attempt.ts";

/** What of a server is looked at by itself. */
export type ServerVisit = {
  readonly side: Side;
  /** Its name in the configuration. */
  readonly host: string;
  readonly url: string;
  readonly server: ServerReader;
  /** What the configuration names on this side. */
  readonly projects: readonly string[];
  readonly pools: readonly string[];
};

/** What was seen of a server, and whether all else can be asked of it. */
export type Visited = { readonly checks: readonly Check[]; readonly facts: ServerFacts | undefined };

/** Snapshots are dated by the server and aged by this machine: minutes do no harm, hours shift what a policy keeps. */
const SKEW_MS = 60 * SECOND_MS;
const FULL_PERCENT = 90;

/** Looks at one server by itself, whether the other one is there or not. */
export async function visitServer(visit: ServerVisit, clock: Clock, signal: AbortSignal): Promise<Visited> {
  let facts: ServerFacts | undefined;
  const reach = async () => {
    facts = await visit.server.facts(signal);
    const { version, restricted, clustered } = facts;
    const rights = restricted ? "a certificate confined to some projects" : "all rights";
    return ok(
      `Incus ${version} at ${visit.url}, pinned and trusting us with ${rights}${clustered ? ", a cluster" : ""}`,
    );
  };
  const reached = await attempt({ check: "server.reached", subject: visit.host }, reach, signal);
  if (facts === undefined) return { checks: [reached], facts };
  const rest = await Promise.all([
    checkClock(visit, clock, signal),
    checkProjects(visit, facts, signal),
    ...visit.pools.map((pool) => checkPool(pool, visit, signal)),
  ]);
  return { checks: [reached, ...checkCapabilities(visit, facts), ...rest], facts };
}

function checkClock({ host, server }: ServerVisit, clock: Clock, signal: AbortSignal): Promise<Check> {
  const look = async (): Promise<Finding> => {
    const there = await server.clock(signal);
    if (there === undefined) return ok("It does not tell its time");
    const skewMs = there - clock.now();
    const seconds = Math.abs(Math.round(skewMs / SECOND_MS));
    const text = `Its clock is ${seconds} s ${skewMs < 0 ? "behind" : "ahead of"} ours`;
    if (seconds <= 1) return ok("Its clock agrees with ours");
    return Math.abs(skewMs) <= SKEW_MS ? ok(text) : warning(text, "Set both by NTP: timedatectl status");
  };
  return attempt({ check: "server.clock", subject: host }, look, signal);
}

/** What a server lacks, and what that means. */
const MISSED: readonly { readonly can: keyof Capabilities; readonly text: string }[] = [
  { can: "excludeOlder", text: "A refresh sends old snapshots again that the target has pruned" },
];

function checkCapabilities({ host }: ServerVisit, { can, version }: ServerFacts): Check[] {
  return MISSED.filter((each) => !can[each.can]).map(({ text }) =>
    checkOf(
      { check: "server.capabilities", subject: host },
      warning(`${text} (Incus ${version})`, "Update Incus to 6.0.4 or newer"),
    ),
  );
}

function checkProjects(
  { host, server, projects }: ServerVisit,
  { restricted }: ServerFacts,
  signal: AbortSignal,
): Promise<Check> {
  const look = async (): Promise<Finding> => {
    const there = new Set((await server.projects(signal)).map(({ name }) => name));
    const missing = projects.filter((name) => !there.has(name));
    if (missing.length === 0) return ok(projects.length === 0 ? "None is configured" : `It has ${projects.join(", ")}`);
    const text = `It has no ${missing.join(", ")}${restricted ? ", or our certificate may not use it" : ""}`;
    return failure(text, `incus project create ${missing[0]}, or another name in the configuration`);
  };
  return attempt({ check: "server.projects", subject: host }, look, signal);
}

function checkPool(pool: string, { host, side, server }: ServerVisit, signal: AbortSignal): Promise<Check> {
  const look = async (): Promise<Finding> => {
    const found = (await server.pools([pool], signal)).find(({ name }) => name === pool);
    if (found === undefined) return failure(`It has no pool ${pool}`, "Name another one: storage, targetStorage");
    const space = await server.space(pool, signal);
    if (space === undefined) return ok(`${found.driver}; it does not tell how much room there is`);
    const percent = Math.floor((100 * space.usedBytes) / space.totalBytes);
    const text = `${found.driver}, ${percent} % of ${roomText(space.totalBytes)} in use`;
    if (percent < FULL_PERCENT) return ok(text);
    const remedy = side === "target" ? "Add room, or keep less on the target" : "Add room, or keep less on the source";
    return warning(text, remedy);
  };
  return attempt({ check: "server.pool", subject: `${host}:${pool}` }, look, signal);
}

const GIBIBYTE = 1024 ** 3;

function roomText(bytes: number): string {
  return bytes < 1024 * GIBIBYTE
    ? `${(bytes / GIBIBYTE).toFixed(1)} GiB`
    : `${(bytes / GIBIBYTE / 1024).toFixed(1)} TiB`;
}
