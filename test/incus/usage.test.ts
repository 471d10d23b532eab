import { expect, test } from "vitest";
import type { Driver } from "../fakes/incus/state.ts";
import { openFakePair } from "./fake-pair.ts";

const SNAPSHOTS = [{ name: "s1", content: "x".repeat(300) }];
const seed = { name: "web1", content: "x".repeat(1000), snapshots: SNAPSHOTS };
const never = new AbortController().signal;

async function openSource(driver: Driver) {
  const { source, servers } = await openFakePair({ source: { driver } });
  return { source, server: servers.source };
}

test("usage() tells on ZFS what a unit holds with its snapshots", async () => {
  const { source, server } = await openSource("zfs");
  expect(await server.usage(source.addInstance(seed), never)).toBe(1300);
  expect(await server.usage(source.addVolume(seed), never)).toBe(1300);
});

test("usage() knows nothing of what shares its data with an image, of what is not there, and of other drivers", async () => {
  const zfs = await openSource("zfs");
  const made = zfs.source.addInstance({ ...seed, config: { "volatile.base_image": "abc" } });
  expect(await zfs.server.usage(made, never)).toBeUndefined();
  expect(await zfs.server.usage({ ...made, name: "missing" }, never)).toBeUndefined();
  expect(await zfs.server.usage({ ...made, kind: "volume", pool: "local", name: "missing" }, never)).toBeUndefined();
  for (const driver of ["btrfs", "dir"] as const) {
    const { source, server } = await openSource(driver);
    expect(await server.usage(source.addInstance(seed), never)).toBeUndefined();
    expect(await server.usage(source.addVolume(seed), never)).toBeUndefined();
  }
});

const odd = [
  { name: "refuses to measure", what: { kind: "refuse", status: 500, error: "Not supported" } },
  { name: "answers what makes no sense", what: { kind: "answer", status: 200, type: "text/html", body: "<html>" } },
] as const;
test.each(odd)("usage() knows nothing where the server $name", async ({ what }) => {
  const { source, server } = await openSource("zfs");
  const unit = source.addVolume(seed);
  source.faults.add({ match: { method: "GET", path: /state$/ }, what });
  expect(await server.usage(unit, never)).toBeUndefined();
});
