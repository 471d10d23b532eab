import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import type { Subject } from "../../../src/model/reading.ts";
import { memoryReader } from "./memory-reader.ts";

const PLACE = { read: "export", host: "source", root: undefined } as const;
const RUN = { owner: "iab@host1", name: "offsite-20261120-040000-1f3c" };
const subject = (dataset: string): Subject => ({ kind: "dataset", dataset });

test("memoryReader() reads what was held, whatever changes afterwards", async ({ signal }) => {
  const reader = memoryReader(PLACE, { "zfs:tank/a": { export: "before" } });
  const reading = await reader.hold([subject("tank/a")], RUN, signal);
  reader.contents.set("zfs:tank/a", { export: "after" });
  const { parts, close } = await reading.open(subject("tank/a"), signal);
  expect([...reader.open]).toEqual(["zfs:tank/a"]);
  const [part] = parts;
  expect(part?.kind === "stream" && (await text(part.bytes(signal)))).toBe("before");
  await close();
  await reading.release();
  expect([...reader.open, ...reader.held]).toEqual([]);
});

test("memoryReader() throws for a subject that could not be held when it is opened", async ({ signal }) => {
  const reading = await memoryReader(PLACE).hold([subject("tank/a")], RUN, signal);
  await expect(reading.open(subject("tank/a"), signal)).rejects.toThrow("Cannot read zfs:tank/a");
});

test("memoryReader() sweeps what is left over once", async ({ signal }) => {
  const reader = memoryReader(PLACE);
  reader.leftovers.add("copy of web1");
  expect(await reader.sweep(RUN.owner, signal)).toEqual(["copy of web1"]);
  expect(await reader.sweep(RUN.owner, signal)).toEqual([]);
});
