import { expect } from "vitest";
import { z } from "zod";
import type { Unit } from "../../src/model/unit.ts";
import { call } from "../lab/daemon-api.ts";
import type { ZfsCommand, ZfsDaemon } from "./guest.ts";

/** The streams that are not based on a snapshot; fails where nothing was sent at all. */
export function fullSends(commands: readonly ZfsCommand[]): ZfsCommand[] {
  const sends = commands.filter(({ words }) => words[0] === "send");
  expect(sends.length).toBeGreaterThan(0);
  return sends.filter(({ words }) => !words.includes("-i"));
}

/** Datasets that were destroyed, not snapshots: a refresh in place needs none of that. */
export function destroyedDatasets(commands: readonly ZfsCommand[]): ZfsCommand[] {
  return commands.filter(({ words }) => words[0] === "destroy" && words.at(-1)?.includes("@") !== true);
}

const Sized = z.array(z.object({ name: z.string(), size: z.number().optional() }));

/** The snapshots of an instance that Incus lists and that have nothing behind them. It tells no sizes of a volume's. */
export async function ghostsOf(daemon: ZfsDaemon, unit: Unit): Promise<string[]> {
  if (unit.kind === "volume") return [];
  const path = `/1.0/instances/${unit.name}/snapshots?recursion=1&project=${unit.project}`;
  const listed = Sized.parse(await call(daemon, "GET", path));
  return listed.filter(({ size }) => size === -1).map(({ name }) => name);
}
