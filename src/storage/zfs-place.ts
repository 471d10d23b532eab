import { AgentError } from "../model/errors.ts";
import { type Subject, subjectId } from "../model/reading.ts";
import type { Workload } from "../model/state.ts";
import type { Dataset } from "./zfs.ts";

/** One dataset of a subject, and what its part is called. */
export type ZfsPlace = { readonly dataset: Dataset; readonly part: string };

/** The dataset that all datasets of a subject lie in. */
export function rootOf(subject: Subject, root: string | undefined): string {
  if (subject.kind === "dataset") return subject.dataset;
  const { pool } = subject;
  if (pool.driver !== "zfs") {
    const message = `Cannot read ${subjectId(subject)} from ZFS: the driver of pool ${pool.name} is ${pool.driver}`;
    throw new AgentError("storage.unusable", message, { hint: `choose it in a source that reads with "export"` });
  }
  const found = root ?? pool.dataset;
  if (found !== undefined) return found.replace(/\/+$/, "");
  throw new AgentError(
    "storage.unusable",
    `Cannot read pool ${pool.name}: its server does not say which dataset it is`,
    {
      hint: `name the dataset as root of the source: incus storage get ${pool.name} zfs.pool_name tells it`,
    },
  );
}

/** The datasets that a subject consists of, as Incus lays them out; throws where one is missing or cannot be read. */
export function placesOf(subject: Subject, root: string, all: readonly Dataset[]): readonly ZfsPlace[] {
  const id = subjectId(subject);
  const places = datasetsOf(subject, root).flatMap((name) => {
    const whole = all.filter((each) => each.name === name || each.name.startsWith(`${name}/`));
    if (whole[0]?.name === name) return whole.map((dataset) => ({ dataset, part: partName(dataset, name) }));
    throw new AgentError("storage.unusable", `Cannot read ${id}: there is no dataset ${name}`, {
      hint:
        subject.kind === "dataset"
          ? "zfs list shows those that are here"
          : `see that ${root} is the pool's dataset here`,
    });
  });
  refuseBlockMode(subject, places);
  for (const { dataset } of places) {
    if (dataset.lockedBy === undefined) continue;
    const message = `Cannot read ${id}: dataset ${dataset.name} is encrypted and its key is not loaded`;
    throw new AgentError("storage.unusable", message, { hint: `zfs load-key ${dataset.lockedBy}` });
  }
  return places;
}

function datasetsOf(subject: Subject, root: string): string[] {
  if (subject.kind === "dataset") return [subject.dataset];
  const { workload } = subject;
  if (workload.kind === "volume") {
    const name = `${root}/custom/${workload.project}_${workload.name}`;
    return [workload.contentType === "iso" ? `${name}.iso` : name];
  }
  const name = workload.project === "default" ? workload.name : `${workload.project}_${workload.name}`;
  if (workload.type === "container") return [`${root}/containers/${name}`];
  return [`${root}/virtual-machines/${name}.block`, `${root}/virtual-machines/${name}`];
}

/** `files`, `disk`, and of those below it `files/its/path` and `disk/its/path`. */
function partName(dataset: Dataset, top: string): string {
  const kind = dataset.type === "filesystem" ? "files" : "disk";
  return `${kind}${dataset.name.slice(top.length)}`;
}

/** With zfs.block_mode a volume of files is a file system of its own on a device, of which a backup of files is wanted. */
function refuseBlockMode(subject: Subject, [first]: readonly ZfsPlace[]): void {
  if (subject.kind === "dataset" || !holdsFiles(subject.workload) || first?.dataset.type !== "volume") return;
  const message = `Cannot read ${subjectId(subject)}: it has a file system of its own on ${first.dataset.name} (zfs.block_mode)`;
  throw new AgentError("storage.unusable", message, { hint: `choose it in a source that reads with "export"` });
}

function holdsFiles(workload: Workload): boolean {
  return workload.kind === "instance" ? workload.type === "container" : workload.contentType === "filesystem";
}
