import { z } from "zod";
import { AgentError } from "../model/errors.ts";
import { MARKS } from "../model/marks.ts";
import type { Clock, Server } from "../model/ports.ts";
import type { Config } from "../model/state.ts";
import { MINUTE_MS, SECOND_MS } from "../model/time.ts";
import { type InstanceUnit, type Unit, unitLabel } from "../model/unit.ts";

/** How far a restore is that the configuration asks for. */
type Stage =
  /** It is on its way under a name of its own: what was there is as it was. */
  | "making"
  /** It takes the place of what was there: that happens once, whatever comes of it. */
  | "placing"
  /** It is in its place; what asked for it is still to be taken out of the configuration. */
  | "placed";

const Mark = z.object({
  asked: z.string(),
  stage: z.enum(["making", "placing", "placed"]),
  running: z.array(z.object({ project: z.string(), name: z.string() })).default([]),
});
type Mark = z.infer<typeof Mark>;

/** What `temporaryName()` makes: a copy that somebody makes of ours bears our mark, and a name of its own. */
const TEMPORARY = /^restore-[0-9a-f]{12}$/;
const UNDO_MS = 10 * MINUTE_MS;

/**
 * What is restored because the configuration asks for it bears, as `MARKS.restoring`, of which backup it is and how far it
 * has come: so the run after one that died knows whether to begin anew, and never repeats what it must not.
 */
export function askedMark(backup: string, stage: Stage, running: readonly InstanceUnit[] = []): string {
  return JSON.stringify({ asked: backup, stage, running: running.map(({ project, name }) => ({ project, name })) });
}

type Looking = { readonly server: Server; readonly clock: Clock };

/**
 * Whether an earlier run has done all of it but the last. What such a run had not come to put in place is removed, and what it
 * had stopped for that is started; what it left in the midst of taking its place is for a person to look at.
 */
export async function isRestoredAlready(
  { server, clock }: Looking,
  unit: Unit,
  backup: string,
  signal: AbortSignal,
): Promise<boolean> {
  const left = await markedFor(server, unit, backup, signal);
  if (left.some((each) => each.unit.name === unit.name && each.mark.stage === "placed")) return true;
  for (const { unit: half, mark } of left) {
    if (mark.stage === "placing") {
      const isUntouched = half.name !== unit.name && (await server.config(unit, signal)) !== undefined;
      if (!isUntouched) throw halfInPlace(unit, half, backup);
      for (const user of mark.running) await startAgain(server, { kind: "instance", ...user }, signal);
    }
    await removeWhenIdle({ server, clock }, half, signal);
  }
  return false;
}

type Left = { readonly unit: Unit; readonly mark: Mark };

async function markedFor(server: Server, unit: Unit, backup: string, signal: AbortSignal): Promise<Left[]> {
  const all: readonly (Unit & { readonly config: Config })[] =
    unit.kind === "instance" ? await server.instances(signal) : await server.volumes([unit.pool], signal);
  return all.flatMap((each) => {
    const isOurs = each.project === unit.project && (each.name === unit.name || TEMPORARY.test(each.name));
    const mark = isOurs ? parseMark(each.config[MARKS.restoring]) : undefined;
    return mark?.asked === backup ? [{ unit: { ...unit, name: each.name }, mark }] : [];
  });
}

function parseMark(text: string | undefined): Mark | undefined {
  // Restores by hand bear a word that is no JSON.
  return text?.startsWith("{") ? Mark.safeParse(JSON.parse(text)).data : undefined;
}

async function startAgain(server: Server, user: InstanceUnit, signal: AbortSignal): Promise<void> {
  if ((await server.instance(user, signal))?.status !== "Stopped") return;
  await server.changeState(user, "start", { timeoutMs: MINUTE_MS, force: false }, signal);
}

/** A server goes on for a while with what nobody sends to it any more. */
async function removeWhenIdle({ server, clock }: Looking, unit: Unit, signal: AbortSignal): Promise<void> {
  const until = clock.now() + UNDO_MS;
  while (clock.now() < until && (await server.isBusy(unit, signal))) await clock.sleep(SECOND_MS, signal);
  if ((await server.config(unit, signal)) !== undefined) await server.remove(unit, signal);
}

function halfInPlace(unit: Unit, half: Unit, backup: string): AgentError {
  const list = unit.kind === "instance" ? "incus list" : `incus storage volume list ${unit.pool}`;
  const both = `${unit.name}-before-…, which is what was there, and ${half.name}, which was restored`;
  return new AgentError(
    "restore.half",
    `Cannot tell how far ${unitLabel(unit)} is restored: a run died while backup ${backup} took its place`,
    {
      hint: `${list} --project ${unit.project} shows ${both}: give the name ${unit.name} to the one that you want, start it, and empty offsite.restore_snapshot_id`,
    },
  );
}
