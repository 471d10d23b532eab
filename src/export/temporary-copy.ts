import type { TemporaryCopy } from "../model/export.ts";
import { MARKS } from "../model/marks.ts";
import type { ReadingRun } from "../model/reading.ts";
import type { Config, Devices, Instance, Volume, Workload } from "../model/state.ts";
import { copyMark } from "./traces.ts";

/** What would have the server act on a copy by itself, or keep us from removing it. */
const DISTURBING = [
  ...["snapshots.schedule", "snapshots.expiry", "snapshots.pattern", "boot.autorestart", "boot.stop.priority"],
  ...["security.protection.delete", "security.protection.start", "cluster.evacuate"],
];

/** A copy of a run's snapshot that bears our mark, has nothing but its disk, and never starts. */
export function temporaryCopy(workload: Workload, name: string, run: ReadingRun): TemporaryCopy {
  const marked = { [MARKS.offsite]: copyMark(run) };
  const { project } = workload;
  if (workload.kind === "volume") {
    const of = { kind: "volume", project, pool: workload.pool, name: workload.name } as const;
    const config = { ...volumeConfig(workload), ...marked };
    return { kind: "volume", of, snapshot: run.name, name, contentType: workload.contentType, config };
  }
  const of = { kind: "instance", project, name: workload.name } as const;
  const config = { ...silenced(workload), "boot.autostart": "false", ...marked };
  return { kind: "instance", of, snapshot: run.name, name, config, devices: onlyRoot(workload) };
}

/** The server adds the source's own keys, unless they are named: an empty one removes it. */
function silenced({ config }: Instance): Config {
  const keys = Object.keys(config).filter((key) => DISTURBING.includes(key) || key.startsWith("user.iab."));
  return Object.fromEntries(keys.map((key) => [key, ""]));
}

function onlyRoot({ devices, expandedDevices }: Instance): Devices {
  const isRoot = ([, device]: [string, Devices[string]]) => device["type"] === "disk" && device["path"] === "/";
  const none = Object.keys(devices).map((name) => [name, { type: "none" }] as const);
  return { ...Object.fromEntries(none), ...Object.fromEntries(Object.entries(expandedDevices).filter(isRoot)) };
}

function volumeConfig({ config }: Volume): Config {
  const kept = ([key]: [string, string]) =>
    !key.startsWith("volatile.") && !key.startsWith("snapshots.") && !key.startsWith("user.iab.");
  return Object.fromEntries(Object.entries(config).filter(kept));
}
