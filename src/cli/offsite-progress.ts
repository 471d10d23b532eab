import { createHash } from "node:crypto";
import { z } from "zod";
import type { OffsiteObserver } from "../execute/execute-offsite.ts";
import { type Owner, ownerText } from "../kopia/arguments.ts";
import type { OffsiteConfig } from "../model/offsite.ts";
import type { OffsiteOutcome, OffsitePlan, OffsiteStep, PartProgress } from "../model/offsite-plan.ts";
import type { World } from "../model/ports.ts";
import { sizeText } from "../render/amounts.ts";
import { offsiteVerb } from "../render/offsite-lines.ts";
import { watchSteps } from "./progress.ts";

/** The lock of an owner's offsite runs on this machine. Its holder tells how far it is. */
export function offsiteLockName(owner: Owner): string {
  return `offsite run of ${ownerText(owner)}`;
}

const Told = z.object({ repository: z.string(), run: z.string(), percent: z.number() });

/** A run that is at work, as it tells itself. */
export type RunningOffsite = { readonly run: string; readonly percent: number };

export type OffsiteWatch = {
  /** Follows the steps of a plan. */
  observe(plan: OffsitePlan, options: { readonly silent: boolean }): OffsiteObserver;
  /** What is told to who asks the holder of the lock. */
  tell(): string;
};

/** Logs what becomes of each step of a run, shows how far it is, and tells it to who asks. */
export function watchOffsite(offsite: OffsiteConfig, world: World): OffsiteWatch {
  let run = "";
  let percent = 0;
  return {
    tell: () => JSON.stringify({ repository: repositoryOf(offsite), run, percent } satisfies z.infer<typeof Told>),
    observe: (plan, options) => {
      run = plan.run.name;
      const total = plan.steps.filter(({ kind }) => kind === "back-up").length;
      let done = 0;
      const count = (step: OffsiteStep, part: number) => {
        if (step.kind === "back-up") percent = Math.floor((100 * (done + part)) / total);
      };
      const watcher = watchSteps<OffsiteStep, PartProgress, OffsiteOutcome>(world, {
        ...options,
        event: "offsite.progress",
        total: plan.steps.length,
        text: stepText,
        facts: (outcome) => (outcome.state === "done" ? factsOf(outcome) : {}),
      });
      return {
        began: watcher.began,
        progressed: (step, progress) => {
          count(step, (progress.percent ?? 0) / 100);
          watcher.progressed(step, progress);
        },
        ended: (step, outcome) => {
          if (step.kind === "back-up") done += 1;
          count(step, 0);
          watcher.ended(step, outcome);
        },
      };
    },
  };
}

/** The run of this owner that is putting backups into this very repository right now; undefined where none is. */
export async function runningOffsite(
  owner: Owner,
  offsite: OffsiteConfig,
  { locks }: World,
): Promise<RunningOffsite | undefined> {
  const answer = await locks.ask(offsiteLockName(owner));
  if (answer === undefined) return undefined;
  const told = Told.safeParse(jsonOf(answer));
  // A holder that does not answer is stopped, and has not ended.
  if (!told.success) return { run: "", percent: 0 };
  return told.data.repository === repositoryOf(offsite) ? told.data : undefined;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The schema says that it is nothing.
    return undefined;
  }
}

/** Which repository it is; secrets in the configuration show as what they are. */
function repositoryOf({ backend }: OffsiteConfig): string {
  return createHash("sha256").update(JSON.stringify(backend)).digest("hex").slice(0, 16);
}

function stepText(step: OffsiteStep, progress: PartProgress | undefined): string {
  if (progress === undefined) return offsiteVerb(step);
  const { part, percent, bytes } = progress;
  const far = [
    part,
    ...(bytes === undefined ? [] : [sizeText(bytes)]),
    ...(percent === undefined ? [] : [`${Math.floor(percent)}%`]),
  ];
  return `${offsiteVerb(step)}: ${far.join(", ")}`;
}

function factsOf({ parts, removed, maintained }: OffsiteOutcome & { state: "done" }) {
  return {
    ...(parts === undefined
      ? {}
      : { parts: parts.length, bytes: parts.reduce((sum, each) => sum + each.sizeBytes, 0) }),
    ...(removed === undefined ? {} : { removed: removed.length }),
    ...(maintained === undefined ? {} : { maintained: maintained.done, owner: maintained.owner }),
  };
}
