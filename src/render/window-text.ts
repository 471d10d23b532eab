import { TZDate } from "@date-fns/tz";
import { format } from "date-fns";
import type { WindowState } from "../model/offsite.ts";
import { type EpochMs, rfc3339 } from "../model/time.ts";
import { agoText } from "./amounts.ts";
import { type Column, csvText, type Format, inFormat } from "./table.ts";

/** A moment, how it stands with the windows then, and how many of them there are. */
export type ShownWindows = WindowState & { readonly at: EpochMs; readonly windows: number; readonly zone: string };

/** Whether a window is open and when that changes, for people or programs. */
export function windowText(format: Format, shown: ShownWindows): string {
  return inFormat(format, {
    text: () => `${sentence(shown)}\n`,
    data: () => windowJson(shown),
    csv: () => csvText(COLUMNS, [shown]),
  });
}

function sentence({ at, active, opensAt, closesAt, windows, zone }: ShownWindows): string {
  if (windows === 0) return "Open: no maintenance windows are configured, so any time will do";
  const when = (moment: EpochMs) => `${agoText(moment, at)}, on ${clockText(moment, zone)}`;
  if (active) return closesAt === undefined ? "Open, and it never closes" : `Open: it closes ${when(closesAt)}`;
  return opensAt === undefined ? "Closed, and it never opens" : `Closed: the next one opens ${when(opensAt)}`;
}

/** A moment as the clock of the windows' zone shows it. */
function clockText(at: EpochMs, zone: string): string {
  return `${format(new TZDate(at, zone), "EEEE d MMMM, HH:mm")} (${zone})`;
}

function windowJson({ at, active, opensAt, closesAt, windows }: ShownWindows) {
  return { at: rfc3339(at), active, opensAt: timeOrNull(opensAt), closesAt: timeOrNull(closesAt), windows };
}

function timeOrNull(at: EpochMs | undefined): string | null {
  return at === undefined ? null : rfc3339(at);
}

const COLUMNS: readonly Column<ShownWindows>[] = [
  { title: "AT", cell: ({ at }) => rfc3339(at) },
  { title: "ACTIVE", cell: ({ active }) => String(active) },
  { title: "OPENS AT", cell: ({ opensAt }) => timeOrNull(opensAt) ?? "" },
  { title: "CLOSES AT", cell: ({ closesAt }) => timeOrNull(closesAt) ?? "" },
  { title: "WINDOWS", cell: ({ windows }) => String(windows) },
];
