import { expect, test } from "vitest";
import { snapshotName } from "../../src/model/snapshot.ts";
import { SECOND_MS } from "../../src/model/time.ts";
import { runName } from "../../src/plan/run-name.ts";
import { instance, NOW, named, stateOf, volume } from "./fixtures.ts";

test("runName() is this second, or the first one after it that no snapshot on the source has", () => {
  const [first, second, third] = [0, 1, 2].map((seconds) => snapshotName(NOW + seconds * SECOND_MS));
  expect(runName(stateOf({}), NOW)).toBe(first);
  const web1 = instance("web1", { snapshots: [named(first ?? "", 0)] });
  const data = volume("data", { snapshots: [named(second ?? "", 0)] });
  expect(runName(stateOf({ instances: [web1], volumes: [data] }), NOW)).toBe(third);
  expect(runName(stateOf({}, { instances: [web1] }), NOW)).toBe(first);
});
