import { dirname, join } from "node:path";
import { AgentError } from "../model/errors.ts";
import type { Clock } from "../model/ports.ts";
import { type OpenSubject, type Part, type Subject, subjectId } from "../model/reading.ts";
import { MINUTE_MS, SECOND_MS } from "../model/time.ts";
import { blockBytes } from "./block-bytes.ts";
import { doAll } from "./do-all.ts";
import type { Mark } from "./holder.ts";
import { PREFIX } from "./zfs.ts";
import { snapshotOf, type ZfsHoldings } from "./zfs-hold.ts";
import type { ZfsTools } from "./zfs-marks.ts";
import type { ZfsPlace } from "./zfs-place.ts";

/** One run's way to open what it holds. Everything that it makes gets a number of its own. */
export type Opener = {
  readonly mark: Mark;
  readonly holdings: ZfsHoldings;
  readonly tools: ZfsTools;
  readonly clock: Clock;
  readonly nextNumber: () => number;
};

type Opened = { readonly part: Part; readonly undo: () => Promise<void> };

const DEVICE_MS = 60 * SECOND_MS;
const DEVICE_STEP_MS = 100;
const UNDO_MS = 2 * MINUTE_MS;

/** Mounts the file systems of a subject and clones its volumes; throws where it could not be held. */
export async function openDatasets(subject: Subject, opener: Opener, signal: AbortSignal): Promise<OpenSubject> {
  const id = subjectId(subject);
  const places = opener.holdings.get(id);
  if (places === undefined) throw new AgentError("storage.unusable", `Cannot read ${id}: it is not held`);
  if ("failure" in places) throw places.failure;
  const opened: Opened[] = [];
  const close = async () => {
    const undone = opened.splice(0).toReversed();
    const tasks = undone.map(({ undo }) => async () => {
      await undo();
      return [];
    });
    await doAll(tasks);
  };
  try {
    for (const place of places) opened.push(await openOne(id, place, opener, signal));
  } catch (cause) {
    await close();
    throw cause;
  }
  return { parts: opened.map(({ part }) => part), snapshot: undefined, close };
}

function openOne(id: string, place: ZfsPlace, opener: Opener, signal: AbortSignal): Promise<Opened> {
  return place.dataset.type === "filesystem" ? mountOne(place, opener, signal) : cloneOne(id, place, opener, signal);
}

async function mountOne({ dataset, part }: ZfsPlace, opener: Opener, signal: AbortSignal): Promise<Opened> {
  const { mark, tools, nextNumber } = opener;
  const { zfs, files, disks, mountFolder } = tools;
  const folder = join(mountFolder, mark.run, String(nextNumber()));
  await files.privateFolder(mountFolder);
  await files.privateFolder(folder);
  const undo = async () => {
    await zfs.unmount(folder, AbortSignal.timeout(UNDO_MS));
    await disks.removeEmpty(folder);
  };
  try {
    await zfs.mount(snapshotOf(dataset.name, mark.run), folder, signal);
  } catch (cause) {
    await disks.removeEmpty(folder);
    throw cause;
  }
  return { part: { kind: "folder", role: "files", name: part, folder }, undo };
}

async function cloneOne(id: string, { dataset, part }: ZfsPlace, opener: Opener, signal: AbortSignal): Promise<Opened> {
  const { mark, tools, nextNumber } = opener;
  const { zfs, disks } = tools;
  const { name: volume, sizeBytes } = dataset;
  if (sizeBytes === undefined) throw new AgentError("storage.unusable", `Cannot read ${id}: ${volume} has no size`);
  // Beside the volume: what may be made there, and which key it takes, is the same.
  const name = `${dirname(volume)}/${PREFIX}${mark.run}-${nextNumber()}`;
  const undo = () => zfs.remove({ name, kind: "clone" }, AbortSignal.timeout(UNDO_MS));
  await zfs.clone(snapshotOf(volume, mark.run), name, mark, signal);
  const path = await deviceOf(name, id, opener, signal).catch(async (cause) => {
    await undo();
    throw cause;
  });
  const bytes = (reading: AbortSignal) => blockBytes({ path, sizeBytes, what: id }, disks, reading);
  return { part: { kind: "stream", role: "block", name: part, fileName: "disk.img", sizeBytes, bytes }, undo };
}

/**
 * The device of a volume. udev makes a name for it some time after the volume, and may take that away and make it again
 * while it clears up after another that had the same number; the device itself stays.
 */
async function deviceOf(volume: string, id: string, { clock, tools }: Opener, signal: AbortSignal): Promise<string> {
  const name = `/dev/zvol/${volume}`;
  const until = clock.now() + DEVICE_MS;
  for (;;) {
    const device = await tools.disks.target(name);
    if (device !== undefined) return device;
    if (clock.now() >= until) {
      throw new AgentError("storage.unusable", `Cannot read ${id}: its device ${name} does not appear`, {
        hint: "in a container there are no devices of volumes: run it on the host, or read with export",
      });
    }
    await clock.sleep(DEVICE_STEP_MS, signal);
  }
}
