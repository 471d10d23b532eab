import { z } from "zod";
import { AgentError, IncusRefusal } from "../model/errors.ts";
import { type MaintenanceWindow, WEEKDAYS } from "../model/offsite.ts";
import { readMetadata } from "./answer.ts";
import type { Connection } from "./connection.ts";

/** The maintenance windows of an IncusOS host, on the wall clock of its zone, and what it means to do in the next one. */
export type HostWindows = {
  readonly windows: readonly MaintenanceWindow[];
  readonly zone: string;
  /** Why the host may start anew while something is at work on it; undefined where nothing is pending. */
  readonly pending: string | undefined;
};

// IncusOS takes hours of 25 and days called Foo; a window that cannot be is better noticed than taken for none.
const Window = z
  .object({
    start_day_of_week: z.enum(WEEKDAYS).optional(),
    start_hour: z.int().min(0).max(23).default(0),
    start_minute: z.int().min(0).max(59).default(0),
    end_day_of_week: z.enum(WEEKDAYS).optional(),
    end_hour: z.int().min(0).max(23).default(0),
    end_minute: z.int().min(0).max(59).default(0),
  })
  .transform((window): MaintenanceWindow => {
    const { start_day_of_week: start, end_day_of_week: end } = window;
    return {
      days: start === undefined || end === undefined ? undefined : { start, end },
      startHour: window.start_hour,
      startMinute: window.start_minute,
      endHour: window.end_hour,
      endMinute: window.end_minute,
    };
  });

const Update = z.object({
  config: z.object({ maintenance_windows: z.array(Window).nullish() }),
  state: z.object({ needs_reboot: z.boolean().nullish() }).nullish(),
});
const Root = z.object({
  environment: z.object({ os_version: z.string().nullish(), os_version_next: z.string().nullish() }).nullish(),
});
const Network = z.object({
  config: z.object({ time: z.object({ timezone: z.string().nullish() }).nullish() }).nullish(),
});

/** Reads the windows of the host. Whatever hinders that is an error: windows that are not known are not "always". */
export async function readHostWindows(connection: Connection, signal: AbortSignal): Promise<HostWindows> {
  const [root, update, network] = await Promise.all([
    read(connection, "/os/1.0", Root, signal),
    read(connection, "/os/1.0/system/update", Update, signal),
    read(connection, "/os/1.0/system/network", Network, signal),
  ]);
  return {
    windows: update.config.maintenance_windows ?? [],
    zone: network.config?.time?.timezone || "UTC",
    pending: pendingOf(update, root),
  };
}

function pendingOf({ state }: z.infer<typeof Update>, { environment }: z.infer<typeof Root>): string | undefined {
  const { os_version: now, os_version_next: next } = environment ?? {};
  if (now && next && now !== next) return `version ${next} waits for a reboot, ${now} is running`;
  return state?.needs_reboot ? "it needs a reboot" : undefined;
}

async function read<T>(connection: Connection, path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
  try {
    const answer = await connection.request({ method: "GET", path }, signal);
    return readMetadata({ host: connection.host, method: "GET", path }, answer, schema);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    throw new AgentError(
      "window.unreadable",
      `Cannot read the maintenance windows of ${connection.host}: ${whyNot(error)}`,
      {
        cause: error,
        hint: 'Write them into offsite.maintenance_windows in place of "incusos", or into offsite.fallback_windows',
      },
    );
  }
}

function whyNot(error: AgentError): string {
  if (!(error instanceof IncusRefusal)) return error.message;
  switch (error.status) {
    case 400:
      return "it does not run IncusOS";
    case 403:
      return "the agent's certificate is restricted there, and only an unrestricted one may ask";
    case 404:
      return "it does not run IncusOS, or one that is too old to tell";
    default:
      return error.message;
  }
}
