import { expect } from "vitest";
import { z } from "zod";
import { isOwnSnapshotName } from "../../src/model/snapshot.ts";
import { type Unit, unitId } from "../../src/model/unit.ts";
import { call } from "../lab/daemon-api.ts";
import type { Daemon, LabDaemon } from "../lab/lab.ts";
import { contentDigest } from "../lab/storage.ts";

const Facts = z.object({ config: z.record(z.string(), z.string()), status: z.string().optional() });
const Snapshots = z.array(z.object({ name: z.string(), created_at: z.string() }));

/** What every snapshot on a source held when it was taken, to compare replicas with. */
export class Ledger {
  readonly #digests = new Map<string, string>();

  /** Writes down the content of all snapshots of the unit that are not known yet. */
  async note(source: LabDaemon, unit: Unit): Promise<void> {
    for (const name of await snapshotNames(source, unit)) {
      const key = `${unitId(unit)}@${name}`;
      if (!this.#digests.has(key)) this.#digests.set(key, await contentDigest(source, unit, name));
    }
  }

  /** Expects the replica to list what the source lists, and each snapshot to hold what the source's held when it was taken. */
  async expectEqual(source: LabDaemon, unit: Unit, target: LabDaemon, replica: Unit = unit): Promise<void> {
    const names = await snapshotNames(source, unit);
    expect(await snapshotNames(target, replica)).toEqual(names);
    for (const name of names) {
      const known = this.#digests.get(`${unitId(unit)}@${name}`);
      const digests = {
        source: await contentDigest(source, unit, name),
        target: await contentDigest(target, replica, name),
      };
      expect({ unit: unitId(unit), name, ...digests }).toMatchObject({ name, source: known, target: known });
    }
  }
}

/** A snapshot as its server lists it. */
export type Listed = { readonly name: string; readonly at: number };

/** A unit's snapshots, oldest first. */
export async function listSnapshots(daemon: Daemon, unit: Unit): Promise<Listed[]> {
  const listed = Snapshots.parse(await call(daemon, "GET", addressOf(unit, "/snapshots", "recursion=1")));
  return listed
    .map(({ name, created_at: at }) => ({ name: name.slice(name.lastIndexOf("/") + 1), at: Date.parse(at) }))
    .sort((a, b) => a.at - b.at);
}

/** The names of a unit's snapshots, oldest first. */
export async function snapshotNames(daemon: Daemon, unit: Unit): Promise<string[]> {
  return (await listSnapshots(daemon, unit)).map(({ name }) => name);
}

export async function ownSnapshotNames(daemon: LabDaemon, unit: Unit): Promise<string[]> {
  return (await snapshotNames(daemon, unit)).filter(isOwnSnapshotName);
}

/** The configuration of a unit, with its status. */
export async function factsOf(daemon: Daemon, unit: Unit): Promise<z.infer<typeof Facts>> {
  return Facts.parse(await call(daemon, "GET", addressOf(unit)));
}

function addressOf(unit: Unit, more = "", query = ""): string {
  const project = `?project=${unit.project}${query === "" ? "" : `&${query}`}`;
  if (unit.kind === "instance") return `/1.0/instances/${unit.name}${more}${project}`;
  return `/1.0/storage-pools/${unit.pool}/volumes/custom/${unit.name}${more}${project}`;
}
