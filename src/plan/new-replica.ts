import type { NewInstance, NewVolume } from "../model/copy.ts";
import { MARKS } from "../model/marks.ts";
import type { Config, Instance, Volume, Workload } from "../model/state.ts";
import type { FilteredDevices } from "./filter-devices.ts";

/** What the server keeps for itself and that may travel nevertheless: which image, and that its firmware is set up. */
const TRAVELLING = ["volatile.base_image", "volatile.apply_nvram"];

const NOT_FOR_REPLICAS = [
  /^volatile\./,
  /^snapshots\./,
  /^user\.iab\./,
  /^boot\.autostart$/,
  /^boot\.autorestart$/,
  /^cluster\.evacuate$/,
];

/** When a server takes snapshots of its own accord. */
export const SCHEDULE = "snapshots.schedule";
/** What goes before the schedule of a profile: an empty one would not. */
export const NO_SCHEDULE = "@never";

/** What a new replica of an instance is made with: it never starts by itself and never snapshots itself. */
export function newInstance(
  source: Instance,
  { devices, profiles, scheduled, dropped, missingProfiles }: FilteredDevices,
  marks: Config,
): NewInstance {
  const remembered = Object.fromEntries(dropped.map(({ name, device }) => [name, device]));
  return {
    type: source.type,
    architecture: source.architecture,
    description: source.description,
    config: {
      ...travelling(source.config),
      "boot.autostart": "false",
      ...(scheduled ? { [SCHEDULE]: NO_SCHEDULE } : {}),
      ...marks,
      ...(dropped.length === 0 ? {} : { [MARKS.dropped]: JSON.stringify(remembered) }),
      ...(missingProfiles.length === 0 ? {} : { [MARKS.leftOff]: JSON.stringify(missingProfiles) }),
    },
    devices,
    profiles,
  };
}

/** What is taken off a new volume once it is there: a pool of the target may have a schedule for all that is made in it. */
export function unscheduled(isNew: boolean, source: Workload): Config {
  return isNew && source.kind === "volume" && source.contentType !== "iso" ? { [SCHEDULE]: "" } : {};
}

/** What a new replica of a volume is made with. */
export function newVolume(source: Volume, marks: Config): NewVolume {
  const { contentType, description } = source;
  return { contentType, description, config: { ...travelling(source.config), ...marks } };
}

function travelling(config: Config): Config {
  const kept = ([key]: [string, string]) =>
    TRAVELLING.includes(key) || !NOT_FOR_REPLICAS.some((pattern) => pattern.test(key));
  return Object.fromEntries(Object.entries(config).filter(kept));
}
