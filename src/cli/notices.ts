import { randomUUID } from "node:crypto";
import type { Config } from "../config/config.ts";
import { parseConfig } from "../config/parse-config.ts";
import { type Notices, salvageNotices } from "../config/salvage-notices.ts";
import type { Notifier, World } from "../model/ports.ts";
import type { Secret, SecretRef } from "../model/secret.ts";
import { MINUTE_MS } from "../model/time.ts";
import { gotify } from "../notify/gotify.ts";
import { healthchecks } from "../notify/healthchecks.ts";
import { errorLines } from "../render/error-lines.ts";
import { exitCodeOf } from "./exit.ts";
import { reveal } from "./reveal.ts";

/** How a piece of work ended, and what a person should read of it. */
export type Ended = { readonly exitCode: number; readonly report: string };

/**
 * Works by the configuration in the text. The services that it names hear of the beginning and of the end, however that
 * comes: also where the configuration cannot be used, as far as it still says whom to tell.
 */
export async function withNotices(
  text: string,
  world: World,
  work: (config: Config) => Promise<Ended>,
): Promise<number> {
  const run = randomUUID();
  let notifier = notifierTo(salvageNotices(text), run, world);
  try {
    const config = parseConfig(text);
    notifier = notifierTo(await noticesOf(config, world), run, world);
    await notifier.started(world.signal);
    const { exitCode, report } = await work(config);
    await notifier.ended(exitCode, report, deadline());
    return exitCode;
  } catch (error) {
    const report = world.signal.aborted ? `Ended by ${String(world.signal.reason)}` : errorLines(error).join("\n");
    await notifier.ended(exitCodeOf(error, world.signal), report, deadline());
    throw error;
  }
}

// A run that a signal has ended is to be heard of as well.
function deadline(): AbortSignal {
  return AbortSignal.timeout(MINUTE_MS);
}

async function noticesOf(config: Config, world: World): Promise<Notices> {
  return {
    healthchecksUrl: await addressOf(config.healthchecksUrl, world),
    gotifyUrl: await addressOf(config.gotifyUrl, world),
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

function notifierTo({ healthchecksUrl, gotifyUrl }: Notices, run: string, { clock, log }: World): Notifier {
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
