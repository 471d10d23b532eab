import type { Config } from "../config/config.ts";
import { jobsOf } from "../config/jobs-of.ts";
import { attempt, checkOf, type Finding, ok } from "../doctor/attempt.ts";
import { judgeValidity } from "../doctor/check-credentials.ts";
import { checkRehearsals, checkWorkloads } from "../doctor/check-plan.ts";
import { visitServer } from "../doctor/check-server.ts";
import { survey } from "../inventory/survey.ts";
import type { Check } from "../model/check.ts";
import { type Job, SIDES, type Side } from "../model/job.ts";
import type { Server } from "../model/ports.ts";
import type { ServerFacts } from "../model/state.ts";
import { certificateSpan } from "../onboard/certificate-span.ts";
import { makePlan } from "../plan/make-plan.ts";
import { runName } from "../plan/run-name.ts";
import type { Context } from "./command.ts";
import { type OffsiteHost, withHosts } from "./offsite-host.ts";

/** A configuration that can be used, and the sides for which there are credentials. */
export type Given = { readonly config: Config; readonly path: string; readonly ready: ReadonlySet<Side> };

/** Looks at each server by itself, and then at what the next run would do between them. */
export function checkServers({ config, path, ready }: Given, context: Context): Promise<readonly Check[]> {
  const { world, openHost } = context;
  const jobs = jobsOf(config, { iosFix: true });
  return withHosts(
    (side) => openHost(side, config, path, world),
    async (host) => {
      const visits = await Promise.all(SIDES.map((side) => visit({ side, config, ready, jobs, host }, context)));
      const checks = visits.flatMap((each) => each.checks);
      const [source, target] = visits.map((each) => each.server);
      if (source === undefined || target === undefined) return [...checks, ...UNSEEN];
      return [...checks, ...(await checkBetween(jobs, { source, target }, context))];
    },
  );
}

/** What cannot be seen unless both servers are there. */
const UNSEEN: readonly Check[] = (["workloads.found", "history.rehearsed"] as const).map((check) =>
  checkOf(
    { check, subject: "all" },
    { state: "unknown", text: "Both servers have to be there for that", remedy: "Mend what failed above first" },
  ),
);

type Visiting = {
  readonly side: Side;
  readonly config: Config;
  readonly ready: ReadonlySet<Side>;
  readonly jobs: readonly Job[];
  readonly host: (side: Side) => Promise<OffsiteHost>;
};

type Seen = { readonly checks: readonly Check[]; readonly server: Server | undefined };

async function visit({ side, config, ready, jobs, host }: Visiting, { world }: Context): Promise<Seen> {
  const { name, url } = config.hosts[side];
  if (!ready.has(side)) {
    const text = "Without credentials it cannot be asked";
    const finding: Finding = { state: "unknown", text, remedy: "Mend the credentials first" };
    return { checks: [checkOf({ check: "server.reached", subject: name }, finding)], server: undefined };
  }
  let server: Server | undefined;
  const open = async (): Promise<Finding> => {
    server = (await host(side)).server;
    return ok("It can be asked");
  };
  const opened = await attempt({ check: "server.reached", subject: name }, open, world.signal);
  if (server === undefined) return { checks: [opened], server };
  const names = { projects: projectsOn(side, jobs), pools: poolsOn(side, jobs) };
  const { checks, facts } = await visitServer({ side, host: name, url, server, ...names }, world.clock, world.signal);
  if (facts === undefined) return { checks, server: undefined };
  return { checks: [...checks, await checkCertificate(facts, world)], server };
}

/** A pinned certificate serves after its time too; but its server will be given another one, and then it is not it. */
function checkCertificate({ host, certificate }: ServerFacts, { clock, signal }: Context["world"]): Promise<Check> {
  const look = async (): Promise<Finding> => {
    const renewal = "When the server has a new one: iab onboard for this server again";
    const found = judgeValidity(certificateSpan(certificate, host), clock.now(), renewal);
    return found.state === "failed" ? { ...found, state: "warning" } : found;
  };
  return attempt({ check: "server.certificate", subject: host }, look, signal);
}

function projectsOn(side: Side, jobs: readonly Job[]): string[] {
  return [...new Set(jobs.map((job) => job[side].project))];
}

function poolsOn(side: Side, jobs: readonly Job[]): string[] {
  const pools = jobs.flatMap((job) => {
    if (job.kind === "volume") return [job[side].pool];
    return side === "source" || job.rootPool === undefined ? [] : [job.rootPool];
  });
  return [...new Set(pools)];
}

/** What the next run would make of it all. */
async function checkBetween(
  jobs: readonly Job[],
  servers: { readonly source: Server; readonly target: Server },
  { world }: Context,
): Promise<readonly Check[]> {
  const { clock, signal } = world;
  const found: Check[] = [];
  const look = async (): Promise<Finding> => {
    const now = clock.now();
    const state = await survey(jobs, servers, signal);
    const plan = makePlan(jobs, state, { now, run: runName(state, now) });
    found.push(...checkWorkloads(plan), ...checkRehearsals(plan));
    return ok("Both servers tell what they have");
  };
  const read = await attempt({ check: "servers.listed", subject: "both" }, look, signal);
  return [read, ...found];
}
