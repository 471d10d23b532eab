import { expect, test } from "vitest";
import { restoredRecord, type Wish } from "../../src/export/restored-record.ts";
import type { UnitRecord } from "../../src/model/export.ts";

const nic = { type: "nic", network: "lan0", hwaddr: "10:66:6a:00:00:01", "ipv4.address": "10.0.0.7" };
const devices = {
  eth0: nic,
  root: { type: "disk", path: "/", pool: "local" },
  data: { type: "disk", pool: "local", source: "data", path: "/data" },
  host: { type: "disk", source: "/srv", path: "/srv" },
};
const config = {
  "boot.autostart": "true",
  "limits.cpu": "2",
  "user.iab.source": "prod:default/web1",
  "volatile.uuid": "5f0c",
  "volatile.eth0.hwaddr": "10:66:6a:00:00:02",
  "volatile.base_image": "b1",
  "volatile.last_state.idmap": "[]",
};
const instance: UnitRecord = {
  kind: "instance",
  instance: {
    name: "web1",
    project: "default",
    type: "container",
    config,
    expanded_config: config,
    devices,
    expanded_devices: devices,
  },
  volume: { name: "web1", project: "default", config: { "volatile.x": "y" } },
  pool: { name: "local", driver: "btrfs" },
  profiles: [],
};
const wish: Wish = {
  unit: { kind: "instance", project: "other", name: "web2" },
  pool: { name: "plain", driver: "dir" },
  as: "copy",
  without: [],
  mark: "m1",
};

test("restoredRecord() of a copy has no identity, no addresses and no volumes of the old one, and never starts itself", () => {
  const { record, leftOut } = restoredRecord(instance, wish);
  expect(record).toMatchObject({
    instance: { name: "web2", project: "other" },
    volume: { name: "web2", project: "other" },
    pool: { name: "plain", driver: "dir" },
  });
  if (record.kind !== "instance") throw new Error("It is an instance");
  expect(record.instance["config"]).toEqual({
    "boot.autostart": "false",
    "limits.cpu": "2",
    "volatile.base_image": "b1",
    "volatile.last_state.idmap": "[]",
    "user.iab.restoring": "m1",
  });
  expect(record.instance["devices"]).toEqual({
    eth0: { type: "nic", network: "lan0" },
    root: devices.root,
    data: { type: "none" },
    host: devices.host,
  });
  expect(record.instance["expanded_devices"]).toEqual(record.instance["devices"]);
  expect(leftOut).toEqual(["hwaddr of eth0", "ipv4.address of eth0", "device data (the volume local/data)"]);
});

test("restoredRecord() of the workload itself keeps all but what the agent had noted on it", () => {
  const { record, leftOut } = restoredRecord(instance, { ...wish, as: "itself" });
  if (record.kind !== "instance") throw new Error("It is an instance");
  const { "user.iab.source": _, ...own } = config;
  expect(record.instance["config"]).toEqual({ ...own, "user.iab.restoring": "m1" });
  expect(record.instance["devices"]).toEqual(devices);
  expect(leftOut).toEqual([]);
});

test("restoredRecord() leaves out the devices that are named", () => {
  const { record, leftOut } = restoredRecord(instance, { ...wish, as: "itself", without: ["data", "eth0"] });
  if (record.kind !== "instance") throw new Error("It is an instance");
  expect(record.instance["devices"]).toMatchObject({ eth0: { type: "none" }, data: { type: "none" } });
  expect(leftOut).toEqual(["device eth0", "device data"]);
});

test("restoredRecord() of a volume keeps whose its files are, and makes no list of what it lacks", () => {
  const words = {
    name: "data",
    config: { "volatile.idmap.last": "[]", "user.iab.last": "x" },
    content_type: "filesystem",
  };
  const volume: UnitRecord = { kind: "volume", volume: words, pool: { name: "local", driver: "btrfs" } };
  const unit = { kind: "volume", project: "default", pool: "plain", name: "data2" } as const;
  const { record, leftOut } = restoredRecord(volume, { ...wish, unit });
  expect(record).toMatchObject({ volume: { name: "data2", project: "default", content_type: "filesystem" } });
  expect(record.volume["config"]).toEqual({ "volatile.idmap.last": "[]", "user.iab.restoring": "m1" });
  expect(leftOut).toEqual([]);
});
