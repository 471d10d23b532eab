import { describe, expect, test } from "vitest";
import type { Reader } from "../../src/model/ports.ts";
import { type Part, type Subject, subjectId } from "../../src/model/reading.ts";
import { zfsReader } from "../../src/storage/zfs-reader.ts";
import { subjectOf } from "../contract/subjects.ts";
import { type FakeZfs, fakeZfs, Killed } from "../fakes/zfs/fake-zfs.ts";
import type { Marks } from "../fakes/zfs/state.ts";

const signal = new AbortController().signal;
const RUN = { owner: "root@one", name: "offsite-1" };
const ROOT = "tank/incus";
const MOUNTS = "/run/iab/offsite";

/** A pool of Incus with some of everything, and a dataset beside it. */
function machine(): FakeZfs {
  const zfs = fakeZfs();
  for (const name of ["tank", ROOT, `${ROOT}/containers`, `${ROOT}/custom`, `${ROOT}/virtual-machines`])
    zfs.add(name, {});
  zfs.add(`${ROOT}/containers/web`, { content: "web" });
  zfs.add(`${ROOT}/containers/web2`, { content: "another" });
  zfs.add(`${ROOT}/containers/blue_db`, { content: "db" });
  zfs.add(`${ROOT}/containers/blue_db/inner`, { content: "delegated" });
  zfs.add(`${ROOT}/custom/default_disk`, { type: "volume", content: "disk bytes" });
  zfs.add(`${ROOT}/custom/default_cd.iso`, { type: "volume", content: "iso bytes" });
  zfs.add(`${ROOT}/virtual-machines/vm`, { content: "variables" });
  zfs.add(`${ROOT}/virtual-machines/vm.block`, { type: "volume", content: "system" });
  zfs.add("tank/home", { content: "home" });
  for (const folder of ["/run", "/run/iab", MOUNTS]) zfs.folders.add(folder);
  zfs.add("tank/home/swap", { type: "volume", content: "pages" });
  return zfs;
}

function readerOf(zfs: FakeZfs, root: string | undefined = ROOT): Reader {
  const { files, disks, processes, clock } = zfs;
  return zfsReader({ root, files, disks, processes, clock, mountFolder: MOUNTS });
}

const instance = (name: string, project = "default", type: "container" | "virtual-machine" = "container") =>
  subjectOf({ kind: "instance", project, name }, "local", "zfs", type);
const volume = (name: string, type: "filesystem" | "block" | "iso" = "filesystem") =>
  subjectOf({ kind: "volume", project: "default", pool: "local", name }, "local", "zfs", type);
const home: Subject = { kind: "dataset", dataset: "tank/home" };
const everySubject = [
  instance("web"),
  instance("db", "blue"),
  instance("vm", "default", "virtual-machine"),
  volume("disk", "block"),
  volume("cd", "iso"),
  home,
];

/** What a part holds: of a stream its bytes, of a folder what is mounted there. */
async function contentOf(part: Part, zfs: FakeZfs): Promise<string> {
  if (part.kind === "folder") {
    const mounted = zfs.mounts.find(({ path }) => path === part.folder);
    return zfs.snapshots.get(mounted?.source ?? "")?.content ?? "nothing";
  }
  const chunks = [];
  for await (const chunk of part.bytes(signal)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test("zfsReader() holds everything at one moment and reads it, whatever it becomes", async () => {
  const zfs = machine();
  const before = zfs.everything();
  const reading = await readerOf(zfs).hold(everySubject, RUN, signal);
  expect(zfs.commands.filter((line) => line.startsWith("zfs snapshot"))).toHaveLength(1);
  for (const dataset of zfs.datasets.values()) dataset.content = "changed";
  const read: Record<string, string> = {};
  for (const subject of everySubject) {
    const opened = await reading.open(subject, signal);
    for (const part of opened.parts) read[`${subjectId(subject)} ${part.name}`] = await contentOf(part, zfs);
    await opened.close();
  }
  expect(read).toEqual({
    "default/web files": "web",
    "blue/db files": "db",
    "blue/db files/inner": "delegated",
    "default/vm disk": "system",
    "default/vm files": "variables",
    "default/local/disk disk": "disk bytes",
    "default/local/cd disk": "iso bytes",
    "zfs:tank/home files": "home",
    "zfs:tank/home disk/swap": "pages",
  });
  expect(zfs.mounts).toEqual([]);
  await reading.release();
  expect(zfs.everything()).toEqual(before);
});

test("zfsReader() takes one snapshot in each zpool", async () => {
  const zfs = machine();
  zfs.add("other", {});
  zfs.add("other/data", { content: "there" });
  const other: Subject = { kind: "dataset", dataset: "other/data" };
  const reading = await readerOf(zfs).hold([instance("web"), other], RUN, signal);
  const opened = await reading.open(other, signal);
  expect(await contentOf(opened.parts[0] as Part, zfs)).toBe("there");
  await reading.release();
  expect(zfs.snapshots.size).toBe(0);
});

const refused: {
  name: string;
  arrange?: (zfs: FakeZfs) => void;
  subject: Subject;
  root?: undefined;
  message: RegExp;
  hint: RegExp;
}[] = [
  {
    name: "an encrypted dataset whose key is not loaded",
    arrange: (zfs) => zfs.add(`${ROOT}/containers/web`, { encryptionRoot: "tank/incus", keyLoaded: false }),
    subject: instance("web"),
    message: /^Cannot read default\/web: dataset tank\/incus\/containers\/web is encrypted and its key is not loaded$/,
    hint: /^zfs load-key tank\/incus$/,
  },
  {
    name: "a container that lies in a block device",
    arrange: (zfs) => zfs.add(`${ROOT}/containers/web`, { type: "volume" }),
    subject: instance("web"),
    message: /^Cannot read default\/web: it has a file system of its own on .*\(zfs\.block_mode\)$/,
    hint: /export/,
  },
  {
    name: "what is not there",
    subject: instance("gone"),
    message: /^Cannot read default\/gone: there is no dataset tank\/incus\/containers\/gone$/,
    hint: /tank\/incus is the pool's dataset/,
  },
  {
    name: "a dataset that is not there",
    subject: { kind: "dataset", dataset: "tank/gone" },
    message: /^Cannot read zfs:tank\/gone: there is no dataset tank\/gone$/,
    hint: /zfs list/,
  },
  {
    name: "a pool of another driver",
    subject: subjectOf({ kind: "instance", project: "default", name: "web" }, "local", "btrfs"),
    message: /^Cannot read default\/web from ZFS: the driver of pool local is btrfs$/,
    hint: /export/,
  },
  {
    name: "a pool whose dataset nobody names",
    subject: instance("web"),
    root: undefined,
    message: /^Cannot read pool local: its server does not say which dataset it is$/,
    hint: /as root of the source: incus storage get local zfs.pool_name/,
  },
];

for (const { name, arrange, subject, message, hint, ...more } of refused) {
  test(`zfsReader() says what to do about ${name}, and reads the others`, async () => {
    const zfs = machine();
    arrange?.(zfs);
    const { files, disks, processes, clock } = zfs;
    const root = "root" in more ? undefined : ROOT;
    const reader = zfsReader({ root, files, disks, processes, clock, mountFolder: MOUNTS });
    const reading = await reader.hold([subject, home], RUN, signal);
    const failure = {
      code: "storage.unusable",
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    };
    await expect(reading.open(subject, signal)).rejects.toMatchObject(failure);
    expect((await reading.open(home, signal)).parts).toHaveLength(2);
    await reading.release();
    expect(zfs.snapshots.size).toBe(0);
  });
}

test("zfsReader() finds the pool's dataset as its server tells it", async () => {
  const zfs = machine();
  const { workload, pool } = instance("web");
  const subject: Subject = { kind: "workload", workload, pool: { ...pool, dataset: ROOT } };
  const reading = await readerOf(zfs, undefined).hold([subject], RUN, signal);
  const { parts } = await reading.open(subject, signal);
  expect(await contentOf(parts[0] as Part, zfs)).toBe("web");
});

test("zfsReader() holds the others where one is deleted just before the snapshot", async () => {
  const zfs = machine();
  zfs.meanwhile = ([, command]) => {
    if (command === "snapshot") zfs.datasets.delete(`${ROOT}/containers/web2`);
  };
  const reading = await readerOf(zfs).hold([instance("web"), instance("web2")], RUN, signal);
  expect((await reading.open(instance("web"), signal)).parts).toHaveLength(1);
  await expect(reading.open(instance("web2"), signal)).rejects.toMatchObject({ code: "storage.unusable" });
  await reading.release();
});

test("zfsReader() says what to install where there is no zfs", async () => {
  const zfs = machine();
  zfs.missing.add("zfs");
  await expect(readerOf(zfs).sweep(RUN.owner, signal)).rejects.toMatchObject({
    code: "storage.unusable",
    message: "Cannot look for what is ours: Cannot run zfs: spawn zfs ENOENT",
    hint: expect.stringContaining("zfsutils-linux"),
  });
});

test("zfsReader() throws where a device does not appear, and leaves no clone", async () => {
  const zfs = machine();
  zfs.withoutDevice.is = true;
  const before = zfs.everything();
  const reading = await readerOf(zfs).hold([volume("disk", "block")], RUN, signal);
  await expect(reading.open(volume("disk", "block"), signal)).rejects.toMatchObject({
    message: expect.stringMatching(/its device \/dev\/zvol\/\S+ does not appear$/),
    hint: expect.stringContaining("export"),
  });
  expect([...zfs.datasets.keys()].filter((name) => name.includes("iab-"))).toEqual([]);
  await reading.release();
  expect(zfs.everything()).toEqual(before);
});

test.each(["disk", "disk bytes, and more"])(
  "zfsReader() throws where a device has other bytes than it should: %s",
  async (bytes) => {
    const zfs = machine();
    const reading = await readerOf(zfs).hold([volume("disk", "block")], RUN, signal);
    const { parts } = await reading.open(volume("disk", "block"), signal);
    for (const [name, dataset] of zfs.datasets) if (name.includes("iab-")) dataset.content = bytes;
    await expect(contentOf(parts[0] as Part, zfs)).rejects.toThrow(/it has 10 bytes, and (4|more) came$/);
  },
);

describe("zfsReader() leaves alone", () => {
  const local = (marks: Record<string, string>): Marks =>
    new Map(Object.entries(marks).map(([name, value]) => [name, { value, source: "local" as const }]));
  const ours = { "iab:owner": RUN.owner, "iab:run": "offsite-0", "iab:holder": "b007.99.1" };
  const snapshot = "tank/incus/containers/web@iab-offsite-0";
  const cases: { name: string; marks: Marks }[] = [
    { name: "a snapshot that is only called like one of ours", marks: new Map() },
    { name: "a snapshot of another owner", marks: local({ ...ours, "iab:owner": "root@two" }) },
    { name: "a snapshot that a process at work holds", marks: local({ ...ours, "iab:holder": "b007.100.5000" }) },
    {
      name: "a copy of a snapshot of ours that came with a stream",
      marks: new Map(Object.entries(ours).map(([name, value]) => [name, { value, source: "received" as const }])),
    },
  ];
  test.each(cases)("$name", async ({ marks }) => {
    const zfs = machine();
    zfs.snapshots.set(snapshot, { content: "", marks, holds: new Set() });
    zfs.mounts.push({ source: snapshot, path: `${MOUNTS}/offsite-0/0` });
    const before = zfs.everything();
    expect(await readerOf(zfs).sweep(RUN.owner, signal)).toEqual([]);
    expect(zfs.everything()).toEqual(before);
  });

  test("nothing of what the same mark proves to be ours", async () => {
    const zfs = machine();
    const before = zfs.everything();
    zfs.snapshots.set(snapshot, { content: "", marks: local(ours), holds: new Set() });
    zfs.mounts.push({ source: snapshot, path: `${MOUNTS}/offsite-0/0` });
    expect(await readerOf(zfs).sweep(RUN.owner, signal)).toEqual([`mount of ${snapshot}`, `snapshot ${snapshot}`]);
    expect(zfs.everything()).toEqual(before);
  });

  test("a mount of somebody else's, and says what keeps the snapshot there", async () => {
    const zfs = machine();
    zfs.snapshots.set(snapshot, { content: "", marks: local(ours), holds: new Set(["keep"]) });
    zfs.mounts.push({ source: snapshot, path: "/mnt/look" });
    await expect(readerOf(zfs).sweep(RUN.owner, signal)).rejects.toMatchObject({
      code: "storage.left",
      hint: `somebody holds it: zfs release keep ${snapshot}`,
    });
    expect(zfs.mounts).toHaveLength(1);
    expect(zfs.snapshots.get(snapshot)?.holds.size).toBe(1);
  });

  test("programs that look into a mount, but for the backup that a killed run began", async () => {
    const zfs = machine();
    zfs.snapshots.set(snapshot, { content: "", marks: local(ours), holds: new Set() });
    const folder = `${MOUNTS}/offsite-0/0`;
    zfs.mounts.push({ source: snapshot, path: folder });
    zfs.others.set("7", ["kopia", "--config-file=x", "snapshot", "create", folder, "--json"]);
    zfs.others.set("8", ["less", `${folder}/file`]);
    const [ended] = await readerOf(zfs).sweep(RUN.owner, signal);
    expect(ended).toBe(`process 7, which backed up ${folder}`);
    expect([...zfs.others.keys()]).toEqual(["8"]);
  });
});

test("zfsReader() leaves nothing after kill -9 at any point, once the next run has swept", async () => {
  const whole = machine();
  await useOnce(whole);
  const points = whole.effects;
  expect(points).toBeGreaterThan(30);
  for (const when of ["before", "after"] as const) {
    for (let effect = 0; effect < points; effect += 1) {
      const zfs = machine();
      const before = zfs.everything();
      zfs.killAt = { effect, when };
      await expect(useOnce(zfs)).rejects.toThrow(Killed);
      zfs.begin();
      await readerOf(zfs).sweep(RUN.owner, signal);
      expect(zfs.everything(), `${when} effect ${effect}`).toEqual(before);
      expect(await readerOf(zfs).sweep(RUN.owner, signal)).toEqual([]);
    }
  }
});

async function useOnce(zfs: FakeZfs): Promise<void> {
  const reading = await readerOf(zfs).hold(everySubject, RUN, signal);
  for (const subject of everySubject) await (await reading.open(subject, signal)).close();
  await reading.release();
}
