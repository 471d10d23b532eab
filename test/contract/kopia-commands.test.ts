import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { buildSync } from "esbuild";
import { expect, test } from "vitest";
import { runCli } from "../../src/cli/run-cli.ts";
import { prepareArchive } from "../../src/kopia/open-archive.ts";
import { systemFiles } from "../../src/system/files.ts";
import { systemProcesses } from "../../src/system/processes.ts";
import { configText } from "../config/sample.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { openLab } from "../lab/lab.ts";
import { archiveOptions, BACKENDS, offsiteConfig, PASSWORD, scratchFolder } from "./kopia-lab.ts";

const DISK = Buffer.alloc(2_000_000, "disk");

/** Runs `iab offsite …` in this process: the real Kopia, files and processes, and a memory of what was said. */
async function offsite(config: string, ...words: string[]) {
  const world = memoryWorld({ environment: { HOME: join(config, ".."), IAB_KOPIA: openLab().kopia().path } });
  const printed: string[] = [];
  const errors: string[] = [];
  const exitCode = await runCli(["offsite", ...words, "--config", config], {
    open: () => ({
      ...world,
      files: systemFiles,
      processes: systemProcesses(),
      print: (line) => void printed.push(line),
    }),
    connect: noServer,
    openHost: noServer,
    print: (line) => void printed.push(line),
    printError: (line) => void errors.push(line),
  });
  return { exitCode, stdout: printed.join(""), stderr: errors.join("\n"), logged: world.logged };
}

async function noServer(): Promise<never> {
  throw new Error("No server is needed to look into the archive");
}

/** A configuration file, and in its repository a folder and a disk. */
async function site(signal: AbortSignal) {
  const folder = scratchFolder();
  const backend = BACKENDS["S3 with TLS and a private CA"]();
  const more = { hostname: "host1", username: "iab", create: true };
  const config = join(folder, "config.json");
  writeFileSync(config, configText({ offsite: { repository_password: PASSWORD, backend, ...more } }));
  const data = join(folder, "data");
  mkdirSync(join(data, "etc"), { recursive: true });
  writeFileSync(join(data, "etc", "motd"), "welcome\n");
  const archive = await prepareArchive(archiveOptions(offsiteConfig(backend, more)), signal);
  const files = await archive.backUpFolder(data, { path: "/c/web1", description: "web1", tags: {} }, () => {}, signal);
  const stream = {
    name: "disk.img",
    bytes: (async function* () {
      yield DISK;
    })(),
  };
  const disk = await archive.backUpStream(stream, { path: "/v/v1", description: "v1", tags: {} }, signal);
  await archive.close();
  return { folder, config, files, disk };
}

test("iab offsite list, status, verify and restore work on a real repository", async ({ signal }) => {
  const { folder, config, files, disk } = await site(signal);
  const list = await offsite(config, "list", "-f", "json");
  expect(JSON.parse(list.stdout)).toMatchObject([
    { id: files.id, source: "iab@host1:/c/web1", state: "complete" },
    { id: disk.id, source: "iab@host1:/v/v1", size: DISK.length },
  ]);
  const status = await offsite(config, "status", "-f", "json");
  expect(JSON.parse(status.stdout)).toMatchObject({
    repository_connected: true,
    last_status: "success",
    available_snapshots: [{ id: files.id }, { id: disk.id }],
  });
  const verified = await offsite(config, "verify", "--percent", "100", "-f", "json");
  expect(verified).toMatchObject({ exitCode: 0 });
  expect(JSON.parse(verified.stdout).bytesRead).toBeGreaterThanOrEqual(DISK.length);

  expect(await offsite(config, "restore", files.id.slice(0, 12), "--to", join(folder, "back"))).toMatchObject({
    exitCode: 0,
  });
  expect(readFileSync(join(folder, "back", "etc", "motd"), "utf8")).toBe("welcome\n");
  const again = await offsite(config, "restore", files.id, "--to", join(folder, "back"));
  expect(again).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("the folder is not empty") });
  expect(await offsite(config, "restore", "00", "--to", join(folder, "no"))).toMatchObject({ exitCode: 6 });

  const left = readdirSync(join(folder, ".cache", "iab", "kopia"), { recursive: true, encoding: "utf8" });
  expect(left.filter((name) => name.endsWith(".config"))).toEqual([]);
});

test("iab offsite restore --to - writes a stream as it was, and files as a tar", async ({ signal }) => {
  const { folder, config, files, disk } = await site(signal);
  const program = join(folder, "iab.mjs");
  buildSync({
    entryPoints: ["src/main.ts"],
    bundle: true,
    platform: "node",
    format: "esm",
    outfile: program,
    banner: REQUIRE,
  });
  const environment = { ...process.env, IAB_KOPIA: openLab().kopia().path, HOME: folder };
  const through = async (id: string, reader: string) => {
    const line = `set -o pipefail; node "$0" offsite restore "$1" --to - --config "$2" | ${reader}`;
    const child = spawn("bash", ["-c", line, program, id, config], { env: environment, signal });
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { stdout, stderr };
  };
  const digest = createHash("sha256").update(DISK).digest("hex");
  expect((await through(disk.id, "sha256sum")).stdout).toContain(digest);
  expect((await through(files.id, "tar xO etc/motd")).stdout).toBe("welcome\n");
});

/** What packages that are no modules ask for. */
const REQUIRE = { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' };

test("iab offsite status prints the state of a repository that does not open, and ends with 6", async () => {
  const config = join(scratchFolder(), "config.json");
  const backend = { type: "filesystem", filesystem: { path: "/nonexistent/repository" } };
  writeFileSync(config, configText({ offsite: { repository_password: PASSWORD, backend } }));
  const { exitCode, stdout, stderr } = await offsite(config, "status", "-f", "json");
  expect(exitCode).toBe(6);
  expect(JSON.parse(stdout)).toMatchObject({ repository_connected: false, available_snapshots: [] });
  expect(stderr).toContain("the folder of the repository is not there");
});
