import type { HostWindows } from "../incus/host-windows.ts";
import { AgentError } from "../model/errors.ts";
import type { Side } from "../model/job.ts";
import type { OffsiteConfig, WindowState } from "../model/offsite.ts";
import type { World } from "../model/ports.ts";
import { type EpochMs, MINUTE_MS, rfc3339 } from "../model/time.ts";
import { windowState } from "../windows/window-state.ts";
import type { OffsiteHost } from "./offsite-host.ts";

/**
 * The windows that count: those of the configuration, or those that the host itself has. Where these cannot be read the
 * configuration's others do; without such it is an error, and never "always".
 */
export async function windowsOf(
  offsite: OffsiteConfig,
  host: (side: Side) => Promise<OffsiteHost>,
  { log, signal }: Pick<World, "log" | "signal">,
): Promise<HostWindows> {
  const { maintenanceWindows, fallbackWindows, timeZone, sources } = offsite;
  const zone = timeZone ?? new Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (maintenanceWindows !== "incusos") return { windows: maintenanceWindows, zone, pending: undefined };
  const opened = await host(sources[0]?.host ?? "source");
  const [read] = await Promise.allSettled([opened.windows(signal)]);
  if (read.status === "fulfilled") return read.value;
  const unreadable = read.reason instanceof AgentError && read.reason.code === "window.unreadable";
  if (!unreadable || fallbackWindows.length === 0) throw read.reason;
  log.warn("window.unreadable", { why: read.reason.message, instead: "offsite.fallback_windows" });
  return { windows: fallbackWindows, zone, pending: undefined };
}

/** How it stands with the windows now; `window.closed` where none is open. */
export function openWindow({ windows, zone }: HostWindows, now: EpochMs): WindowState {
  const state = windowState(windows, zone, now);
  if (state.active) return state;
  const next = state.opensAt === undefined ? "none opens at all" : `the next one opens at ${rfc3339(state.opensAt)}`;
  throw new AgentError("window.closed", `No maintenance window is open: ${next}`, {
    hint: "nothing was done; iab offsite window tells more, and --ignore-windows does without one",
  });
}

/** A window that is watched: work by its signal ends when it closes, and by the signal of the program. */
export type WatchedWindow = {
  readonly signal: AbortSignal;
  hasClosed(): boolean;
  /** Nobody has to watch any more. */
  end(): void;
};

/** Watches for the end of a window. The clock is looked at each minute, for it may be set and the machine may sleep. */
export function watchWindow(closesAt: EpochMs | undefined, { clock, log, signal }: World): WatchedWindow {
  const closing = new AbortController();
  const over = new AbortController();
  const watch = async (end: EpochMs) => {
    while (clock.now() < end) await clock.sleep(Math.min(end - clock.now(), MINUTE_MS), over.signal);
    log.warn("window.closed", { at: rfc3339(end) });
    closing.abort(new AgentError("window.closed", "The maintenance window has closed; the next run goes on"));
  };
  // Its only error is that nobody has to watch any more.
  if (closesAt !== undefined) watch(closesAt).catch(() => {});
  return {
    signal: AbortSignal.any([signal, closing.signal]),
    hasClosed: () => closing.signal.aborted,
    end: () => over.abort(),
  };
}
