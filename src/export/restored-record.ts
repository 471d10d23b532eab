import { z } from "zod";
import type { UnitRecord, Words } from "../model/export.ts";
import { MARKS } from "../model/marks.ts";
import type { Config, Devices } from "../model/state.ts";
import type { Unit } from "../model/unit.ts";

/** How a workload is made again. */
export type Wish = {
  readonly unit: Unit;
  readonly pool: { readonly name: string; readonly driver: string };
  /** `itself`: it takes its own place again. `copy`: it must not be in the way of the one that it was. */
  readonly as: "itself" | "copy";
  /** Devices that are left out. */
  readonly without: readonly string[];
  /** What it bears until it is whole. */
  readonly mark: string;
};

/** The record that it is made from, and what was left out of it, in words. */
export type Restored = { readonly record: UnitRecord; readonly leftOut: readonly string[] };

const StringMap = z.record(z.string(), z.string()).catch({});
const DeviceMap = z.record(z.string(), StringMap).catch({});
/** What a copy may have of what the server had noted: which image it is, that its firmware is set up, whose its files are. */
const TRAVELLING = ["volatile.base_image", "volatile.apply_nvram", "volatile.last_state.idmap"];
/** What no two may have of a network. */
const UNIQUE = ["hwaddr", "ipv4.address", "ipv6.address", "host_name"];

/** The record of what is to be made of a backup. */
export function restoredRecord(record: UnitRecord, wish: Wish): Restored {
  return record.kind === "volume" ? restoredVolume(record, wish) : restoredInstance(record, wish);
}

function restoredVolume(record: UnitRecord & { kind: "volume" }, { unit, pool, mark }: Wish): Restored {
  const { name, project } = unit;
  const config = { ...ownOf(StringMap.parse(record.volume["config"])), [MARKS.restoring]: mark };
  return { record: { ...record, pool, volume: { ...record.volume, name, project, config } }, leftOut: [] };
}

function restoredInstance(record: UnitRecord & { kind: "instance" }, wish: Wish): Restored {
  const { unit, pool, as, mark } = wish;
  const { name, project } = unit;
  const leftOut = new Set<string>();
  const devicesOf = (field: string) => restoredDevices(DeviceMap.parse(record.instance[field]), wish, leftOut);
  const configOf = (field: string): Config => {
    const config = ownOf(StringMap.parse(record.instance[field]));
    return { ...(as === "copy" ? asCopy(config) : config), [MARKS.restoring]: mark };
  };
  const expanded = devicesOf("expanded_devices");
  const instance: Words = {
    ...record.instance,
    ...{ name, project, ephemeral: false, stateful: false },
    config: configOf("config"),
    expanded_config: configOf("expanded_config"),
    // What comes from a profile is left out by a device of the same name.
    devices: { ...onlyNone(expanded), ...devicesOf("devices") },
    expanded_devices: expanded,
  };
  const volume: Words = { ...record.volume, name, project };
  return { record: { ...record, instance, volume, pool }, leftOut: [...leftOut] };
}

function onlyNone(devices: Devices): Devices {
  return Object.fromEntries(Object.entries(devices).filter(([, device]) => device["type"] === "none"));
}

/** What the agent notes on a server is about the one that was there. */
function ownOf(config: Config): Config {
  return Object.fromEntries(Object.entries(config).filter(([key]) => !key.startsWith("user.iab.")));
}

function asCopy(config: Config): Config {
  const travels = ([key]: [string, string]) => TRAVELLING.includes(key) || !key.startsWith("volatile.");
  return { ...Object.fromEntries(Object.entries(config).filter(travels)), "boot.autostart": "false" };
}

function restoredDevices(devices: Devices, { as, without }: Wish, leftOut: Set<string>): Devices {
  return Object.fromEntries(
    Object.entries(devices).map(([name, device]) => {
      if (without.includes(name)) {
        leftOut.add(`device ${name}`);
        return [name, { type: "none" }];
      }
      if (as === "itself") return [name, device];
      if (device["type"] === "disk" && device["source"] !== undefined && device["pool"] !== undefined) {
        leftOut.add(`device ${name} (the volume ${device["pool"]}/${device["source"]})`);
        return [name, { type: "none" }];
      }
      if (device["type"] !== "nic") return [name, device];
      const unique = Object.keys(device).filter((key) => UNIQUE.includes(key));
      for (const key of unique) leftOut.add(`${key} of ${name}`);
      return [name, Object.fromEntries(Object.entries(device).filter(([key]) => !unique.includes(key)))];
    }),
  );
}
