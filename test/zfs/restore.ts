import { readFileSync } from "node:fs";
import { z } from "zod";
import type { Unit } from "../../src/model/unit.ts";
import { begin, call } from "../lab/daemon-api.ts";
import type { Daemon } from "../lab/lab.ts";

const Sending = z.object({ id: z.string(), metadata: z.record(z.string(), z.string()) });
type Sending = z.infer<typeof Sending>;
const Volume = z.object({ content_type: z.string() });

/** A snapshot of a replica on one daemon, and the daemon and pool that it is copied back to. */
export type Restore = {
  readonly from: Daemon;
  readonly replica: Unit;
  readonly snapshot: string;
  readonly to: Daemon;
  readonly pool: string;
};

/** Copies a snapshot of a replica back to a new unit beside the original, as a person does with Incus alone. */
export async function restore(wanted: Restore): Promise<Unit> {
  const { from, replica, snapshot, to, pool } = wanted;
  const name = `restored-${replica.name}`;
  const query = `?project=${replica.project}`;
  if (replica.kind === "instance") {
    const path = `/1.0/instances/${replica.name}/snapshots/${snapshot}${query}`;
    const sending = Sending.parse(await begin(from, "POST", path, { migration: true, name: "", live: false }));
    const devices = { root: { type: "disk", path: "/", pool } };
    const body = { name, type: "container", architecture: "x86_64", devices, source: sourceOf(from, sending) };
    await call(to, "POST", `/1.0/instances${query}`, body);
    return { ...replica, name };
  }
  const volume = `/1.0/storage-pools/${replica.pool}/volumes/custom/${replica.name}`;
  const offer = { migration: true, name: snapshot, volume_only: true };
  const sending = Sending.parse(await begin(from, "POST", `${volume}/snapshots/${snapshot}${query}`, offer));
  const source = {
    ...sourceOf(from, sending),
    ...{ name: `${replica.name}/${snapshot}`, pool: replica.pool, volume_only: true },
  };
  const { content_type } = Volume.parse(await call(from, "GET", `${volume}${query}`));
  const body = { name, type: "custom", content_type, source };
  await call(to, "POST", `/1.0/storage-pools/${pool}/volumes/custom${query}`, body);
  return { ...replica, name, pool };
}

function sourceOf(from: Daemon, sending: Sending) {
  return {
    type: "migration",
    mode: "pull",
    operation: `${from.url}/1.0/operations/${sending.id}`,
    secrets: sending.metadata,
    certificate: readFileSync(from.certificate, "utf8"),
  };
}
