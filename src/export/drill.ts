import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { Progress } from "../model/copy.ts";
import { AgentError } from "../model/errors.ts";
import type { UnitFiles, UnitRecord } from "../model/export.ts";
import type { Clock, Server } from "../model/ports.ts";
import type { Pool } from "../model/state.ts";
import { HOUR_MS, MINUTE_MS } from "../model/time.ts";
import { type Unit, unitLabel } from "../model/unit.ts";
import type { BackupContent } from "./backup-content.ts";
import { type ContentDigest, contentDigest } from "./content-digest.ts";
import { makeUnit } from "./make-unit.ts";
import { restoredRecord } from "./restored-record.ts";

export type Drill = {
  readonly server: Server & UnitFiles;
  readonly clock: Clock;
  readonly content: BackupContent;
  readonly project: string;
  readonly pool: Pool;
  readonly onProgress: (progress: Progress) => void;
};

const DeviceMap = z.record(z.string(), z.record(z.string(), z.string())).catch({});
const REMOVE_MS = 10 * MINUTE_MS;

/**
 * Makes a workload again under a name of its own, reads it back, compares it with the backup, and removes it. It has no
 * network and is never started.
 */
export async function drill(
  { server, clock, content, project, pool, onProgress }: Drill,
  signal: AbortSignal,
): Promise<ContentDigest> {
  const name = `drill-${randomBytes(6).toString("hex")}`;
  const unit: Unit =
    content.record.kind === "instance"
      ? { kind: "instance", project, name }
      : { kind: "volume", project, pool: pool.name, name };
  const mark = randomBytes(8).toString("hex");
  const record = alone(restoredRecord(content.record, { unit, pool, as: "copy", without: [], mark }).record);
  const file = (under: AbortSignal) => content.file(record, under);
  // It bears the mark to its end, so that no run takes it for a workload.
  await makeUnit({ server, clock, onProgress }, { unit, pool: pool.name, mark, whole: mark, file }, signal);
  try {
    const expected = await contentDigest(file(signal), "the backup");
    const options = { name: `${name}-export`, expiresAt: clock.now() + 24 * HOUR_MS };
    const found = await contentDigest(
      server.exportFile(unit, options, signal),
      `what was restored as ${unitLabel(unit)}`,
    );
    if (found.digest === expected.digest) return expected;
    throw new AgentError(
      "kopia.damaged",
      `Cannot confirm the backup: what was restored differs from it (${found.entries} entries of ${found.bytes} bytes, and ${expected.entries} of ${expected.bytes} in the backup)`,
      { hint: "Restore it to a folder with --to, and compare by hand" },
    );
  } finally {
    await server.remove(unit, AbortSignal.timeout(REMOVE_MS));
  }
}

/** With nothing but its disk: what else it had may not be there, and nobody is to see it. */
function alone(record: UnitRecord): UnitRecord {
  if (record.kind === "volume") return record;
  const devices = DeviceMap.parse(record.instance["expanded_devices"]);
  const root = Object.fromEntries(Object.entries(devices).filter(([, device]) => device["path"] === "/"));
  return {
    ...record,
    instance: { ...record.instance, profiles: [], devices: root, expanded_devices: root },
    profiles: [],
  };
}
