import { z } from "zod";
import type { FakeDataset, Marks, ZfsState } from "./state.ts";

/** A command that ends with exit code 1: what it says, and what it printed before. */
export class FakeFailure extends Error {
  readonly stdout: string;

  constructor(message: string, stdout = "") {
    super(message);
    this.stdout = stdout;
  }
}

/** Does what `zfs`, `mount`, `umount` and `kill` do; what they print. */
export function zfsCommand(argv: readonly string[], state: ZfsState): string {
  const [program, ...words] = argv;
  switch (program === "zfs" ? `zfs ${words[0]}` : program) {
    case "zfs list":
      return list(words.slice(1), state);
    case "zfs get":
      return get(words.slice(1), state);
    case "zfs snapshot":
      return snapshot(words.slice(1), state);
    case "zfs clone":
      return clone(words.slice(1), state);
    case "zfs destroy":
      return destroy(words[1] ?? "", state);
    case "zfs holds":
      return [...(state.snapshots.get(words[2] ?? "")?.holds ?? [])]
        .map((tag) => `${words[2]}\t${tag}\tnow\n`)
        .join("");
    case "mount":
      return mount(words.at(-2) ?? "", words.at(-1) ?? "", state);
    case "umount":
      return unmount(words[0] ?? "", state);
    case "kill":
      if (!state.others.delete(words[1] ?? "")) throw new FakeFailure(`kill: (${words[1]}): No such process`);
      return "";
    default:
      throw new Error(`The fake does not know: ${argv.join(" ")}`);
  }
}

function list(words: readonly string[], state: ZfsState): string {
  const types = wordAfter(words, "-t").split(",");
  if (!words.includes("-r")) {
    const names = [...state.datasets].filter(([, { type }]) => types.includes(type)).map(([name]) => name);
    return lines([...names, ...(types.includes("snapshot") ? state.snapshots.keys() : [])].map((name) => [name]));
  }
  const root = words.at(-1) ?? "";
  if (!state.datasets.has(root)) throw new FakeFailure(`cannot open '${root}': dataset does not exist`);
  const within = [...state.datasets].filter(([name]) => name === root || name.startsWith(`${root}/`));
  return lines(within.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, dataset]) => rowOf(name, dataset)));
}

function rowOf(name: string, { type, content, encryptionRoot, keyLoaded }: FakeDataset): string[] {
  const key = encryptionRoot === undefined ? "-" : keyLoaded ? "available" : "unavailable";
  return [name, type, type === "volume" ? String(content.length) : "-", encryptionRoot ?? "-", key];
}

/** Of a user property a snapshot inherits its dataset's; only what was set on it itself counts with `-s local`. */
function get(words: readonly string[], state: ZfsState): string {
  const asked = words.findIndex((word) => word.includes(":"));
  const properties = words[asked]?.split(",") ?? [];
  const missing: string[] = [];
  const rows = words.slice(asked + 1).flatMap((name) => {
    const marks = (state.datasets.get(name) ?? state.snapshots.get(name))?.marks;
    if (marks === undefined) missing.push(name);
    return properties.flatMap((property) => {
      const mark = marks?.get(property);
      return mark?.source === "local" ? [[name, property, mark.value]] : [];
    });
  });
  if (missing.length === 0) return lines(rows);
  const said = missing.map((name) => `cannot open '${name}': dataset does not exist`).join("\n");
  throw new FakeFailure(said, lines(rows));
}

function snapshot(words: readonly string[], state: ZfsState): string {
  const { marks, rest } = optionsOf(words);
  const wanted = rest.map((name) => ({ name, dataset: state.datasets.get(name.split("@")[0] ?? "") }));
  for (const { name, dataset } of wanted) {
    if (dataset === undefined) throw new FakeFailure(`cannot open '${name.split("@")[0]}': dataset does not exist`);
    if (state.snapshots.has(name)) throw new FakeFailure(`cannot create snapshot '${name}': dataset already exists`);
  }
  if (new Set(rest.map((name) => name.split(/[/@]/)[0])).size > 1) {
    throw new FakeFailure("cannot create snapshots : invalid argument");
  }
  for (const { name, dataset } of wanted) {
    state.snapshots.set(name, { content: dataset?.content ?? "", marks: new Map(marks), holds: new Set() });
  }
  return "";
}

function clone(words: readonly string[], state: ZfsState): string {
  const { marks, options, rest } = optionsOf(words);
  const [origin = "", name = ""] = rest;
  const snapshotOfIt = state.snapshots.get(origin);
  if (snapshotOfIt === undefined) throw new FakeFailure(`cannot open '${origin}': dataset does not exist`);
  const parent = state.datasets.get(name.replace(/\/[^/]*$/, ""));
  if (parent === undefined) throw new FakeFailure(`cannot create '${name}': parent does not exist`);
  const of = state.datasets.get(origin.split("@")[0] ?? "");
  state.datasets.set(name, {
    type: of?.type ?? "volume",
    content: snapshotOfIt.content,
    encryptionRoot: parent.encryptionRoot,
    keyLoaded: parent.keyLoaded,
    origin,
    volmode: z.enum(["none", "dev"]).parse(options.get("volmode") ?? "none"),
    busyFor: 2,
    marks: new Map(marks),
  });
  return "";
}

function destroy(name: string, state: ZfsState): string {
  const fail = (why: string) => new FakeFailure(`cannot destroy '${name}': ${why}`);
  if (!name.includes("@")) {
    const dataset = state.datasets.get(name);
    if (dataset === undefined) throw new FakeFailure(`cannot open '${name}': dataset does not exist`);
    const below = [...state.datasets.keys()].some((other) => other.startsWith(`${name}/`));
    if (below || [...state.snapshots.keys()].some((other) => other.startsWith(`${name}@`)))
      throw fail("volume has children");
    if (dataset.busyFor-- > 0) throw fail("dataset is busy");
    state.datasets.delete(name);
    return "";
  }
  const found = state.snapshots.get(name);
  if (found === undefined) throw new FakeFailure(`could not find any snapshots to destroy; check snapshot names.`);
  if ([...state.datasets.values()].some(({ origin }) => origin === name)) throw fail("snapshot has dependent clones");
  if (found.holds.size > 0 || state.mounts.some(({ source }) => source === name)) throw fail("dataset is busy");
  state.snapshots.delete(name);
  return "";
}

function mount(source: string, path: string, state: ZfsState): string {
  if (!state.snapshots.has(source))
    throw new FakeFailure(`filesystem '${source}' cannot be mounted, unable to open the dataset`);
  state.mounts.push({ source, path });
  return "";
}

function unmount(path: string, state: ZfsState): string {
  const at = state.mounts.findLastIndex((mounted) => mounted.path === path);
  if (at < 0) throw new FakeFailure(`umount: ${path}: not mounted.`);
  if ([...state.others.values()].some((words) => words.includes(path))) {
    throw new FakeFailure(`umount: ${path}: target is busy.`);
  }
  state.mounts.splice(at, 1);
  return "";
}

function optionsOf(words: readonly string[]): { marks: Marks; options: Map<string, string>; rest: string[] } {
  const options = new Map<string, string>();
  const rest = [];
  for (let at = 0; at < words.length; at += 1) {
    if (words[at] !== "-o") rest.push(words[at] ?? "");
    else {
      const [, name = "", value = ""] = /^([^=]*)=(.*)$/.exec(words[++at] ?? "") ?? [];
      options.set(name, value);
    }
  }
  const ofUsers = [...options].filter(([name]) => name.includes(":"));
  return { marks: new Map(ofUsers.map(([name, value]) => [name, { value, source: "local" }])), options, rest };
}

function wordAfter(words: readonly string[], flag: string): string {
  return words[words.indexOf(flag) + 1] ?? "";
}

function lines(rows: readonly (readonly string[])[]): string {
  return rows.map((row) => `${row.join("\t")}\n`).join("");
}
