import { afterEach, expect, test } from "vitest";
import { copyByHand } from "./copy-by-hand.ts";
import type { GenerationName } from "./generation.ts";
import { RawClient } from "./raw-client.ts";
import { type FakeIncus, startFakeIncus } from "./start-fake-incus.ts";

/**
 * What was measured on real ZFS: both sides have s1 s2 s3; then something is pruned, the source takes s4 and changes
 * its head, and the target is refreshed. `disk` is what the target's dataset holds then, `listed` what its API says.
 */
type Row = {
  title: string;
  generation: GenerationName;
  excludeOlder: boolean;
  /** Pruned before the refresh. */
  onSource?: string;
  onTarget?: string;
  listed: string;
  disk: string;
  /** Refreshed once more, with nothing new. */
  again?: { listed: string; disk: string };
};

const rows: Row[] = [
  { title: "nothing", generation: "6.0", excludeOlder: false, listed: "s1 s2 s3 s4", disk: "s1 s2 s3 s4" },
  ...both("the target's newest", { onTarget: "s3", listed: "s1 s2 s3 s4", disk: "s1 s2 s3 s4" }),
  {
    title: "the target's middle one",
    generation: "6.0",
    excludeOlder: false,
    onTarget: "s2",
    listed: "s1 s2 s3 s4",
    disk: "s1 s2 s4",
    again: { listed: "s1 s2 s3 s4", disk: "s1 s2" },
  },
  {
    title: "the target's middle one",
    generation: "6.0",
    excludeOlder: true,
    onTarget: "s2",
    listed: "s1 s3 s4",
    disk: "s1 s2 s4",
    again: { listed: "s1 s3 s4", disk: "s1 s2" },
  },
  {
    title: "the target's middle one",
    generation: "7.0",
    excludeOlder: false,
    onTarget: "s2",
    listed: "s1 s2 s3 s4",
    disk: "s1 s3 s4",
    again: { listed: "s1 s2 s3 s4", disk: "s1 s3 s4" },
  },
  {
    title: "the target's middle one",
    generation: "7.0",
    excludeOlder: true,
    onTarget: "s2",
    listed: "s1 s3 s4",
    disk: "s1 s3 s4",
    again: { listed: "s1 s3 s4", disk: "s1 s3 s4" },
  },
  {
    title: "the target's oldest",
    generation: "6.0",
    excludeOlder: false,
    onTarget: "s1",
    listed: "s1 s2 s3 s4",
    disk: "s1 s2 s3 s4",
  },
  {
    title: "the target's oldest",
    generation: "6.0",
    excludeOlder: true,
    onTarget: "s1",
    listed: "s2 s3 s4",
    disk: "s1 s2 s3 s4",
    again: { listed: "s2 s3 s4", disk: "s1 s2 s3 s4" },
  },
  {
    title: "the target's oldest",
    generation: "7.0",
    excludeOlder: false,
    onTarget: "s1",
    listed: "s1 s2 s3 s4",
    disk: "s2 s3 s4",
    again: { listed: "s1 s2 s3 s4", disk: "s2 s3 s4" },
  },
  {
    title: "the target's oldest",
    generation: "7.0",
    excludeOlder: true,
    onTarget: "s1",
    listed: "s2 s3 s4",
    disk: "s2 s3 s4",
    again: { listed: "s2 s3 s4", disk: "s2 s3 s4" },
  },
  ...both("all of the target's", { onTarget: "s1 s2 s3", listed: "s1 s2 s3 s4", disk: "s1 s2 s3 s4" }),
  ...both("the source's oldest", { onSource: "s1", listed: "s2 s3 s4", disk: "s2 s3 s4" }),
  ...both("the newest common one of the source", { onSource: "s3", listed: "s1 s2 s4", disk: "s1 s2 s4" }),
  ...both("all common ones", { onSource: "s1 s2", onTarget: "s3", listed: "s3 s4", disk: "s3 s4" }),
];

function both(title: string, row: Pick<Row, "onSource" | "onTarget" | "listed" | "disk">): Row[] {
  return (["6.0", "7.0"] as const).flatMap((generation) =>
    [false, true].map((excludeOlder) => ({ title, generation, excludeOlder, ...row })),
  );
}

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function open(generation: GenerationName): Promise<{ fake: FakeIncus; client: RawClient }> {
  const fake = await startFakeIncus({ generation, driver: "zfs" });
  const client = new RawClient(fake);
  fake.trust(client.certificate.certificate);
  closers.push(
    () => client.close(),
    () => fake.close(),
  );
  return { fake, client };
}

test.each(rows)("ZFS of $generation, exclude $excludeOlder, pruned $title: $disk on the disk", async (row) => {
  const source = await open(row.generation);
  const target = await open(row.generation);
  const unit = source.fake.addInstance({ name: "web1", snapshots: ["s1", "s2", "s3"] });
  const body = { name: "web1", architecture: "x86_64", devices: { root: { type: "disk", path: "/", pool: "local" } } };
  const refresh = () =>
    copyByHand({
      source: source.client,
      target: target.client,
      mode: "pull",
      from: "instances/web1",
      to: "instances",
      body,
      flags: { refresh_exclude_older: row.excludeOlder },
    });
  const found = () => ({
    listed: target.fake.snapshots(unit).join(" "),
    disk: target.fake.datasets(unit).join(" "),
  });
  await refresh();
  for (const name of names(row.onTarget)) target.fake.deleteSnapshot(unit, name);
  for (const name of names(row.onSource)) source.fake.deleteSnapshot(unit, name);
  source.fake.takeSnapshot(unit, "s4");
  source.fake.setContent(unit, "a new head");

  expect(await refresh()).toEqual({ source: "", target: "" });
  expect(found()).toEqual({ listed: row.listed, disk: row.disk });
  expect(target.fake.digest(unit)).toBe(source.fake.digest(unit));
  if (row.again === undefined) return;
  expect(await refresh()).toEqual({ source: "", target: "" });
  expect(found()).toEqual(row.again);
});

function names(text: string | undefined): string[] {
  return text === undefined ? [] : text.split(" ");
}
