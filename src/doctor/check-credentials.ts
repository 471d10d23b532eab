import type { Check } from "../model/check.ts";
import type { Files } from "../model/ports.ts";
import { DAY_MS, type EpochMs, rfc3339 } from "../model/time.ts";
import { attempt, type Finding, failure, ok, warning } from "./attempt.ts";

/** Until when a certificate has to be valid for nothing to be said of it. */
const SOON_MS = 30 * DAY_MS;

const MODE = 0o777;
const OTHERS = 0o007;
const GROUP_WRITES = 0o020;

/** Whether a file that holds secrets is closed to whom it is no business of. A group may read it: services have one. */
export function checkPrivate(path: string, files: Files, signal: AbortSignal): Promise<Check> {
  const look = async (): Promise<Finding> => {
    const mode = await files.mode(path);
    const text = (mode & MODE).toString(8).padStart(4, "0");
    if ((mode & OTHERS) !== 0) return failure(`It holds secrets, and others may use it (${text})`, `chmod o= ${path}`);
    if ((mode & GROUP_WRITES) !== 0) return warning(`Its group may write to it (${text})`, `chmod g-w ${path}`);
    return ok(`Nobody else may use it (${text})`);
  };
  return attempt({ check: "credentials.mode", subject: path }, look, signal);
}

type Span = { readonly from: EpochMs; readonly until: EpochMs };

/** Whether a certificate is valid, and will be for some time. */
export function judgeValidity({ from, until }: Span, now: EpochMs, renewal: string): Finding {
  if (now < from) return failure(`It is not valid before ${rfc3339(from)}`, "Set the clock of this machine");
  if (now > until) return failure(`It was valid until ${rfc3339(until)}`, renewal);
  const text = `It is valid until ${rfc3339(until)}`;
  return until - now < SOON_MS ? warning(text, renewal) : ok(text);
}
