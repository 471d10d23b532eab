import { expect, test } from "vitest";
import { type FakeZfs, fakeZfs, Killed } from "./fake-zfs.ts";

const signal = new AbortController().signal;

async function run(zfs: FakeZfs, line: string) {
  return zfs.processes.run({ argv: line.split(" ") }, signal);
}

function machine(): FakeZfs {
  const zfs = fakeZfs();
  zfs.add("tank", {});
  zfs.add("tank/a", { content: "a" });
  zfs.add("tank/v", { type: "volume", content: "bytes" });
  return zfs;
}

test("zfs snapshot is all or nothing", async () => {
  const zfs = machine();
  const failed = await run(zfs, "zfs snapshot tank/a@s tank/gone@s");
  expect(failed).toMatchObject({ exitCode: 1, stderr: "cannot open 'tank/gone': dataset does not exist\n" });
  expect(zfs.snapshots.size).toBe(0);
  await run(zfs, "zfs snapshot -o iab:run=r tank/a@s tank/v@s");
  expect(
    (await run(zfs, "zfs get -H -p -s local -o name,property,value iab:run,iab:owner tank/a@s tank/v@s")).stdout,
  ).toBe("tank/a@s\tiab:run\tr\ntank/v@s\tiab:run\tr\n");
});

test("zfs destroy refuses a snapshot that is mounted, held or cloned", async () => {
  const zfs = machine();
  await run(zfs, "zfs snapshot tank/v@s");
  const destroyed = async () => (await run(zfs, "zfs destroy tank/v@s")).stderr;
  await run(zfs, "mount -t zfs -o ro tank/v@s /m");
  expect(await destroyed()).toMatch(/dataset is busy/);
  await run(zfs, "umount /m");
  zfs.snapshots.get("tank/v@s")?.holds.add("mine");
  expect(await destroyed()).toMatch(/dataset is busy/);
  zfs.snapshots.get("tank/v@s")?.holds.clear();
  await run(zfs, "zfs clone -o volmode=dev tank/v@s tank/c");
  expect(await destroyed()).toMatch(/dependent clones/);
  for (let attempt = 0; attempt < 3; attempt += 1) await run(zfs, "zfs destroy tank/c");
  expect(await destroyed()).toBe("");
  expect(zfs.everything()).toEqual(["tank", "tank/a", "tank/v"]);
});

test("a clone has the content of its snapshot, as a device", async () => {
  const zfs = machine();
  await run(zfs, "zfs snapshot tank/v@s");
  zfs.add("tank/v", { type: "volume", content: "other" });
  await run(zfs, "zfs clone -o volmode=dev tank/v@s tank/c");
  const chunks = [];
  const device = (await zfs.disks.target("/dev/zvol/tank/c")) ?? "";
  for await (const chunk of zfs.disks.bytes(device, signal)) chunks.push(chunk);
  expect(Buffer.concat(chunks).toString()).toBe("bytes");
  expect(await zfs.disks.target("/dev/zvol/tank/v")).toBeUndefined();
});

test("a killed agent changes nothing any more", async () => {
  const zfs = machine();
  zfs.killAt = { effect: 0, when: "after" };
  await expect(run(zfs, "zfs snapshot tank/a@s")).rejects.toThrow(Killed);
  await expect(run(zfs, "zfs destroy tank/a@s")).rejects.toThrow(Killed);
  expect([...zfs.snapshots.keys()]).toEqual(["tank/a@s"]);
  zfs.begin();
  expect(await run(zfs, "zfs destroy tank/a@s")).toMatchObject({ exitCode: 0 });
});
