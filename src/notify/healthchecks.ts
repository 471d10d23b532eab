import type { Clock, Log, Notifier } from "../model/ports.ts";
import type { Secret } from "../model/secret.ts";
import { deliver } from "./deliver.ts";
import { shortened } from "./shortened.ts";

/** Healthchecks stores the first 100 kB of what it is sent, and so many characters never take more. */
const LONGEST_BODY = 25_000;

/** The exit code of a run that its maintenance window has ended. */
const WINDOW_CLOSED = 75;

/**
 * Pings a Healthchecks check: `/start`, then the exit code with the report as body, tied together by the run's id,
 * so that the service shows how long the run took.
 */
export function healthchecks(pingUrl: Secret, runId: string, clock: Clock, log: Log): Notifier {
  const tell = async (what: string, body: string, signal: AbortSignal): Promise<void> => {
    try {
      await deliver({ url: pingAddress(pingUrl.reveal(), what, runId), body }, clock, signal);
      log.debug("notice.sent", { service: "healthchecks", what });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      log.warn("notice.failed", { service: "healthchecks", what, why });
    }
  };
  return {
    started: (signal) => tell("start", "", signal),
    // To be ended by its window is no failure, and a check that has heard of a start alarms unless it hears of success:
    // neither an exit code nor `/log` will do. What is missing stands in the report.
    ended: (exitCode, report, signal) =>
      tell(exitCode === WINDOW_CLOSED ? "0" : String(exitCode), shortened(report, LONGEST_BODY), signal),
  };
}

/** The check's address with what there is to say behind its path; a query of its own is kept. */
export function pingAddress(pingUrl: string, what: string, runId: string): string {
  const url = new URL(pingUrl.trim());
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/${what}`;
  url.searchParams.set("rid", runId);
  return url.toString();
}
