import type { Clock, Log, Notifier } from "../model/ports.ts";
import type { Secret } from "../model/secret.ts";
import { deliver } from "./deliver.ts";
import { shortened } from "./shortened.ts";

const PRIORITY = 5;
const LONGEST_REPORT = 4_000;

/** Endings that are nobody's fault: another run was at it, or it was not the time. */
const NOT_A_FAILURE = [0, 11, 75];

/** Sends a Gotify message when a run has failed, and nothing otherwise. The URL holds the application's token. */
export function gotify(messageUrl: Secret, clock: Clock, log: Log): Notifier {
  return {
    async started() {},
    async ended(exitCode, report, signal) {
      if (NOT_A_FAILURE.includes(exitCode)) return;
      const message = {
        title: "IAB Backup failed",
        message: `The run ended with exit code ${exitCode}.\n\n${shortened(report, LONGEST_REPORT)}`,
        priority: PRIORITY,
      };
      try {
        const headers = { "content-type": "application/json" };
        await deliver({ url: messageUrl.reveal().trim(), body: JSON.stringify(message), headers }, clock, signal);
        log.debug("notice.sent", { service: "gotify" });
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        log.warn("notice.failed", { service: "gotify", why });
      }
    },
  };
}
