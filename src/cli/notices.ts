import { randomUUID } from "node:crypto";
import type { Config } from "../config/config.ts";
import { parseConfig } from "../config/parse-config.ts";
import { salvageNotices } from "../config/salvage-notices.ts";
import { AgentError } from "../model/errors.ts";
import type { Notifier, World } from "../model/ports.ts";
import type { Secret, SecretRef } from "../model/secret.ts";
import { MINUTE_MS } from "../model/time.ts";
import { gotify } from "../notify/gotify.ts";
import { healthchecks } from "../notify/healthchecks.ts";
import { errorLines } from "../render/error-lines.ts";
import { exitCodeOf } from "./exit.ts";
import { reveal } from "./reveal.ts";

type Addresses<Address> = {
  readonly healthchecksUrl: Address | undefined;
  readonly gotifyUrl: Address | undefined;
};

/** How a piece of work ended, and what a person should read of it. */
export type Ended = {
  readonly exitCode: number;
  readonly report: string;
  /** What the services hear instead of the exit code. */
  readonly told?: number;
};

/** Whose check at Healthchecks hears of it: replication and offsite backups have one each. */
export type NoticesOf = "run" | "offsite";

/** Works by a configuration, and says when it begins: what finds that there is nothing to do does not begin. */
export type NoticedWork = (config: Config, begin: () => Promise<void>) => Promise<Ended>;

/**
 * Works by the configuration in the text. The services that it names hear of the beginning and of the end, however that
 * comes: also where the configuration cannot be used, as far as it still says whom to tell.
 */
export async function withNotices(text: string, of: NoticesOf, world: World, work: NoticedWork): Promise<number> {
  const run = randomUUID();
  let notifier: Notifier | undefined;
  let begun = false;
  const begin = async () => {
    begun = true;
    await notifier?.started(world.signal);
  };
  try {
    const config = parseConfig(text);
    notifier = notifierTo(await revealed(addressesOf(config, of), world), run, world);
    const { exitCode, report, told = exitCode } = await work(config, begin);
    if (begun) await notifier.ended(told, report, deadline());
    return exitCode;
  } catch (error) {
    if (!begun && isForLater(error)) throw error;
    const report = world.signal.aborted ? `Ended by ${String(world.signal.reason)}` : errorLines(error).join("\n");
    notifier ??= notifierTo(await revealed(salvageNotices(text, of), world), run, world);
    await notifier.ended(exitCodeOf(error, world.signal), report, deadline());
    throw error;
  }
}

/** Another one is at it, or it is not the time: no failure that anybody has to hear of. */
function isForLater(error: unknown): boolean {
  return error instanceof AgentError && ["lock.held", "window.closed"].includes(error.code);
}

// A run that a signal has ended is to be heard of as well.
function deadline(): AbortSignal {
  return AbortSignal.timeout(MINUTE_MS);
}

function addressesOf(config: Config, of: NoticesOf): Addresses<SecretRef> {
  const { healthchecksUrl } = of === "run" ? config : { healthchecksUrl: config.offsite?.healthchecksUrl };
  return { healthchecksUrl, gotifyUrl: config.gotifyUrl };
}

async function revealed(
  { healthchecksUrl, gotifyUrl }: Addresses<SecretRef>,
  world: World,
): Promise<Addresses<Secret>> {
  return {
    healthchecksUrl: await addressOf(healthchecksUrl, world),
    gotifyUrl: await addressOf(gotifyUrl, world),
  };
}

/** An address that cannot be read is a notice that cannot be sent: no reason not to run. */
async function addressOf(ref: SecretRef | undefined, world: World): Promise<Secret | undefined> {
  if (ref === undefined) return undefined;
  try {
    return await reveal(ref, world);
  } catch (error) {
    world.signal.throwIfAborted();
    world.log.warn("notice.failed", { error });
    return undefined;
  }
}

function notifierTo({ healthchecksUrl, gotifyUrl }: Addresses<Secret>, run: string, { clock, log }: World): Notifier {
  const notifiers = [
    ...(healthchecksUrl === undefined ? [] : [healthchecks(healthchecksUrl, run, clock, log)]),
    ...(gotifyUrl === undefined ? [] : [gotify(gotifyUrl, clock, log)]),
  ];
  return {
    started: async (signal) => {
      await Promise.all(notifiers.map((notifier) => notifier.started(signal)));
    },
    ended: async (exitCode, report, signal) => {
      await Promise.all(notifiers.map((notifier) => notifier.ended(exitCode, report, signal)));
    },
  };
}
