import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import type { Unit } from "../../src/model/unit.ts";
import type { Daemon, Generation } from "../lab/lab.ts";

const DaemonFacts = z.object({
  url: z.url(),
  socket: z.string(),
  certificate: z.string(),
  pools: z.object({ zfs: z.string(), zfsEncrypted: z.string() }),
  zpools: z.object({ zfs: z.string(), zfsEncrypted: z.string() }),
});
const Pair = z.object({ version: z.string(), source: DaemonFacts, target: DaemonFacts });
const LabFile = z.object({
  version: z.literal(1),
  incus: z.object({ "6.0": Pair, "7.0": Pair }),
  ssh: z.array(z.string()),
  kopia: z.string(),
});

export type PoolKind = "zfs" | "zfsEncrypted";

/** An Incus daemon in the ZFS machine; its two pools bear the same names on all of them. */
export type ZfsDaemon = z.infer<typeof DaemonFacts> & Daemon;

export type ZfsLab = {
  readonly incus: Readonly<Record<Generation, { version: string; source: ZfsDaemon; target: ZfsDaemon }>>;
  /** The words that stand before a command for the guest's shell. */
  readonly ssh: readonly string[];
  /** Kopia's program, on this machine. */
  readonly kopia: string;
};

/** The ZFS machine that `make lab-zfs` has left running; throws where there is none. */
export function openZfsLab(directory = resolve(process.env["IAB_LAB_DIR"] ?? ".lab", "zfs")): ZfsLab {
  const { incus, ssh, kopia } = LabFile.parse(JSON.parse(readLabFile(join(directory, "lab.json"))));
  return { incus: { "6.0": pairOf(incus["6.0"], "6.0"), "7.0": pairOf(incus["7.0"], "7.0") }, ssh, kopia };
}

function readLabFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new Error(`The ZFS machine is not up: cannot read ${path}. Run make lab-zfs as root first`, { cause });
  }
}

function pairOf({ version, source, target }: z.infer<typeof Pair>, generation: Generation) {
  return {
    version,
    source: { ...source, generation, side: "source" as const },
    target: { ...target, generation, side: "target" as const },
  };
}

/** Runs a command of the guest's shell over the kept connection; its stdout. What fails is thrown with its stderr. */
export function inGuest(command: string, signal: AbortSignal, input: string | Buffer = ""): Promise<string> {
  return runHere([...openZfsLab().ssh, command], signal, input);
}

/** Copies a file or a folder of this machine into a folder of the guest, which is made. */
export async function copyIn(path: string, folder: string, signal: AbortSignal): Promise<void> {
  const script =
    'set -o pipefail; parent=$1 name=$2 to=$3; shift 3; tar -C "$parent" -cf - "$name" | "$@" "mkdir -p $to && tar -C $to -xf -"';
  const words = [join(path, ".."), path.split("/").at(-1) ?? "", quoted(folder), ...openZfsLab().ssh];
  await runHere(["bash", "-c", script, "copy-in", ...words], signal);
}

/** Copies a file or a folder of the guest into a folder of this machine, which exists. */
export async function copyOut(path: string, folder: string, signal: AbortSignal): Promise<void> {
  const script =
    'set -o pipefail; parent=$1 name=$2 to=$3; shift 3; "$@" "tar -C $parent -cf - $name" | tar -C "$to" -xf -';
  const words = [quoted(join(path, "..")), quoted(path.split("/").at(-1) ?? ""), folder, ...openZfsLab().ssh];
  await runHere(["bash", "-c", script, "copy-out", ...words], signal);
}

/** Where Incus keeps a unit: a container or a custom volume. */
export function datasetOf(daemon: ZfsDaemon, pool: PoolKind, unit: Unit): string {
  const root = `${daemon.zpools[pool]}/incus`;
  if (unit.kind === "volume") return `${root}/custom/${unit.project}_${unit.name}`;
  return `${root}/containers/${unit.project === "default" ? "" : `${unit.project}_`}${unit.name}`;
}

/** The ZFS snapshot behind a snapshot of Incus. */
export function zfsSnapshot(dataset: string, name: string): string {
  return `${dataset}@snapshot-${name}`;
}

/**
 * The SHA-256 of the true content of snapshots or live datasets, in the order given: of files with their attributes,
 * or of every byte of a volume.
 */
export async function digestsOf(names: readonly string[], signal: AbortSignal): Promise<string[]> {
  const lines = rowsOf(await inGuest(`lab-digest ${names.map(quoted).join(" ")}`, signal));
  return lines.map(([digest = ""]) => digest);
}

/** What a file system holds, a line for each thing in it, in order: all that a restore of its files brings back. */
export async function linesOf(name: string, signal: AbortSignal): Promise<string[]> {
  const lines = (await inGuest(`lab-digest --lines ${quoted(name)}`, signal)).split("\n");
  return lines.filter((line) => line !== "").sort();
}

/** Writes into an idle dataset behind Incus's back, as its workload would: a file, or the beginning of a volume. */
export async function writeInto(
  dataset: string,
  file: string,
  content: string | Buffer,
  signal: AbortSignal,
): Promise<void> {
  await inGuest(`lab-write ${quoted(dataset)} ${quoted(file)}`, signal, content);
}

/** A dataset or snapshot that exists, whether Incus knows of it or not. */
export type Dataset = {
  readonly name: string;
  readonly type: string;
  readonly guid: string;
  readonly encryption: string;
  /** Properties with a colon in their name, those set here or received with a stream. */
  readonly userProperties: Readonly<Record<string, string>>;
};

/** Everything at and below a dataset, snapshots included, in the order of ZFS. */
export async function datasetsBelow(root: string, signal: AbortSignal): Promise<Dataset[]> {
  const command = `zfs list -H -r -t all -o name,type,guid,encryption ${quoted(root)} && echo && zfs get -H -r -t all -s local,received -o name,property,value all ${quoted(root)}`;
  const [list = "", properties = ""] = (await inGuest(command, signal)).split("\n\n");
  const ofUsers = rowsOf(properties).filter(([, property]) => property?.includes(":"));
  return rowsOf(list).map(([name = "", type = "", guid = "", encryption = ""]) => {
    const own = ofUsers.filter(([owner]) => owner === name);
    const userProperties = Object.fromEntries(own.map(([, property = "", value = ""]) => [property, value]));
    return { name, type, guid, encryption, userProperties };
  });
}

/** A command that a daemon gave to ZFS: `daemon` is 6.0-source and so on, `words` begins with send, receive, … */
export type ZfsCommand = { readonly daemon: string; readonly words: readonly string[] };

/** What the daemons asked of ZFS while the action ran: what it changed, and what it sent and received. */
export async function zfsCommandsDuring(action: () => Promise<void>, signal: AbortSignal): Promise<ZfsCommand[]> {
  const before = (await inGuest("wc -c </var/log/lab-zfs.log", signal)).trim();
  await action();
  const log = await inGuest(`tail -c +${Number(before) + 1} /var/log/lab-zfs.log`, signal);
  return rowsOf(log).map(([, daemon = "", ...words]) => ({ daemon, words }));
}

function rowsOf(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"));
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function runHere(argv: readonly string[], signal: AbortSignal, input: string | Buffer = ""): Promise<string> {
  const [program = "", ...words] = argv;
  return new Promise((resolve, reject) => {
    const child = execFile(program, words, { signal, maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      // 255 is ssh's own: the guest cannot be reached.
      else if (error.code === 255)
        reject(new Error(`The ZFS machine does not answer (make lab-zfs starts it): ${stderr.trim()}`));
      else reject(signal.aborted ? error : new Error(`${argv.at(-1)}: ${stderr.trim() || error.message}`));
    });
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}
