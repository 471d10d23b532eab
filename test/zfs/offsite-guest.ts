import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Unit } from "../../src/model/unit.ts";
import { buildHolder } from "../contract/storage-lab.ts";
import type { Site } from "../e2e/site.ts";
import { call } from "../lab/daemon-api.ts";
import { startInstance } from "../lab/workloads.ts";
import { copyIn, datasetOf, inGuest, type PoolKind, type ZfsDaemon } from "./guest.ts";

/** Where all of a test lies in the guest. */
export const HOME = "/root/offsite-source";

export type Workload = { readonly unit: Unit; readonly pool: PoolKind; readonly type?: "block" };

/** A running container, a stopped one, a volume with a dataset within, and a disk; two of them encrypted. */
export async function furnish(source: ZfsDaemon, project: string, signal: AbortSignal): Promise<Workload[]> {
  const instance = async (name: string, pool: PoolKind): Promise<Workload> => {
    const devices = { root: { type: "disk", path: "/", pool: source.pools[pool] } };
    const body = { name, type: "container", source: { type: "image", alias: "tiny" }, devices };
    await call(source, "POST", `/1.0/instances?project=${project}`, body);
    return { unit: { kind: "instance", project, name }, pool };
  };
  const volume = async (name: string, pool: PoolKind, type?: "block"): Promise<Workload> => {
    const config = type === "block" ? { size: "32MiB" } : {};
    const body = { name, type: "custom", content_type: type ?? "filesystem", config };
    await call(source, "POST", `/1.0/storage-pools/${source.pools[pool]}/volumes?project=${project}`, body);
    const unit = { kind: "volume", project, pool: source.pools[pool], name } as const;
    return { unit, pool, ...(type === undefined ? {} : { type }) };
  };
  const running = await instance("running", "zfs");
  if (running.unit.kind === "instance") await startInstance(source, running.unit);
  const all = [
    running,
    await instance("stopped", "zfsEncrypted"),
    await volume("data", "zfs"),
    await volume("disk", "zfsEncrypted", "block"),
  ];
  // As a container with zfs.delegate makes one.
  await inGuest(`zfs create -o mountpoint=legacy ${datasetOf(source, "zfs", dataUnit(all))}/inner`, signal);
  return all;
}

export function dataUnit(workloads: readonly Workload[]): Unit {
  const found = workloads.find(({ unit }) => unit.name === "data");
  if (found === undefined) throw new Error("There is no volume of data");
  return found.unit;
}

/** The agent, its configuration, Kopia, and the program that holds: all that a run in the guest takes. */
export async function bringTools(site: Site<ZfsDaemon>, kopia: string, signal: AbortSignal): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "iab-guest-"));
  try {
    await buildHolder(folder);
    await copyFile(kopia, join(folder, "kopia"));
    await copyFile("dist/iab.mjs", join(folder, "iab.mjs"));
    await mkdir(join(folder, "repository"));
    await copyIn(folder, "/root", signal);
    await inGuest(
      `rm -rf ${HOME} && mv /root/${basename(folder)} ${HOME} && mkdir -p /run/iab/offsite && chmod 755 ${HOME}/kopia`,
      signal,
    );
    await copyIn(site.folder, HOME, signal);
  } finally {
    await rm(folder, { recursive: true });
  }
}

export async function restoreSnapshot(daemon: ZfsDaemon, unit: Unit, name: string): Promise<void> {
  const path =
    unit.kind === "instance"
      ? `/1.0/instances/${unit.name}`
      : `/1.0/storage-pools/${unit.pool}/volumes/custom/${unit.name}`;
  await call(daemon, "PUT", `${path}?project=${unit.project}`, { restore: name });
}
