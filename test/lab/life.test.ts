import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { call } from "./daemon-api.ts";
import { crashDaemon } from "./faults.ts";
import { type Lab, type LabDaemon, openLab } from "./lab.ts";
import { changeState, createInstance, startInstance } from "./workloads.ts";

const run = promisify(execFile);

/** A second lab on this machine, in a folder of its own, on the packages and programs of the first. */
let first: Lab;
let directory: string;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  first = openLab();
  directory = await mkdtemp("/var/tmp/lab-");
  const cache = readFileSync(join(first.directory, "state/cache"), "utf8").trim();
  env = { ...process.env, IAB_LAB_DIR: directory, IAB_LAB_CACHE: cache };
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await run("lab/down", { env });
  await rm(directory, { recursive: true });
});

async function up(): Promise<Lab> {
  await run("lab/up", { env });
  vi.stubEnv("IAB_LAB_DIR", directory);
  return openLab();
}

test("lab/up makes a second lab beside the first, and only checks it when run again", async () => {
  const second = await up();
  const urls = [first, second].flatMap((lab) => daemonsOf(lab).map((daemon) => daemon.url));
  expect(new Set(urls).size).toBe(8);
  for (const daemon of [...daemonsOf(first), ...daemonsOf(second)]) await call(daemon, "GET", "/1.0");
  const again = await up();
  expect(daemonsOf(again)).toEqual(daemonsOf(second));
});

test("lab/up does not hand its caller's locks on to what it starts", async () => {
  const lock = join(directory, "caller.lock");
  await run("flock", [lock, "lab/up"], { env });
  await run("flock", ["--nonblock", lock, "true"]);
});

test("lab/down leaves nothing behind, a frozen container and a cluster neither", async () => {
  const { source } = (await up()).incus["6.0"];
  await run("lab/cluster", ["up", "6.0"], { env });
  const frozen = await createInstance(source, { project: "default", name: "c1" });
  await startInstance(source, frozen);
  await changeState(source, frozen, "freeze");
  expect((await leftovers()).length).toBeGreaterThan(10);
  await run("lab/down", { env });
  expect(await leftovers()).toEqual([]);
});

test("lab/down leaves nothing behind after its daemons, or one who was starting it, were killed", async () => {
  await killedStarter();
  const lab = await up();
  for (const daemon of daemonsOf(lab)) await crashDaemon(daemon);
  await killedStarter();
  await run("lab/down", { env });
  expect(await leftovers()).toEqual([]);
});

test("lab/up brings a daemon back with its data after its whole namespace was killed", async () => {
  const { source } = (await up()).incus["6.0"];
  await createInstance(source, { project: "default", name: "c1" });
  process.kill(source.keeperPid, "SIGKILL");
  const revived = (await up()).incus["6.0"].source;
  expect(revived.keeperPid).not.toBe(source.keeperPid);
  expect(await call(revived, "GET", "/1.0/instances")).toEqual(["/1.0/instances/c1"]);
});

/** Runs lab/up until it starts the daemons, and kills it there. */
async function killedStarter(): Promise<void> {
  const starter = spawn("lab/up", { env, stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(starter, "exit");
  for await (const text of starter.stderr) {
    if (String(text).includes("starting")) break;
  }
  starter.kill("SIGKILL");
  await ended;
}

function daemonsOf(lab: Lab): LabDaemon[] {
  return Object.values(lab.incus).flatMap(({ source, target }) => [source, target]);
}

/** Every process, loop device, mount, control group and network device of the second lab. */
async function leftovers(): Promise<string[]> {
  const { stdout } = await run("bash", ["-c", ". lab/lib/common.sh && echo $LAB_ID"], { env });
  const id = stdout.trim();
  const groups = await run("find", [
    "/sys/fs/cgroup",
    "-maxdepth",
    "5",
    "-ignore_readdir_race",
    "-name",
    `iab-lab-${id}`,
  ]);
  return [
    ...processesWith(`IAB_LAB_MARK=iab-lab:${directory}`),
    ...readEach("/sys/block", "loop/backing_file").filter((path) => path.startsWith(directory)),
    ...readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(directory)),
    ...groups.stdout.split("\n").filter((line) => line !== ""),
    ...readdirSync("/sys/class/net").filter((name) => name === `iab-${id}`),
  ];
}

function processesWith(variable: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    return /^\d+$/.test(pid) && readIfThere(`/proc/${pid}/environ`).split("\0").includes(variable);
  });
}

function readEach(folder: string, file: string): string[] {
  return readdirSync(folder).map((name) => readIfThere(join(folder, name, file)));
}

/** Processes and devices come and go while they are listed, and kernel threads cannot be read. */
function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
