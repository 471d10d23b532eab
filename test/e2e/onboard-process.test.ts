import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { makeToken, removeTrust } from "../lab/trust.ts";
import { createInstance } from "../lab/workloads.ts";
import { buildAgent } from "./site.ts";

const lab = openLab();
let folder: string;
let scratch: Scratch | undefined;

beforeAll(buildAgent);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "iab-onboard-"));
});
afterEach(async () => {
  await scratch?.close();
  scratch = undefined;
  await rm(folder, { recursive: true });
});

/** The bundle, with what it is asked for typed or piped in; each answer follows the question that it belongs to. */
async function onboard(flags: readonly string[], answers: readonly (readonly [RegExp, string])[], onTerminal: boolean) {
  const words = [
    "dist/iab.mjs",
    "onboard",
    "--iabCredDir",
    join(folder, "credentials"),
    "--outConfig",
    folder,
    ...flags,
  ];
  const child = onTerminal
    ? spawn("script", ["-qec", [process.execPath, ...words].join(" "), "/dev/null"])
    : spawn(process.execPath, words);
  let seen = "";
  const left = [...answers];
  const answer = () => {
    for (;;) {
      const [question, text] = left[0] ?? [];
      const at = question === undefined ? -1 : seen.search(question);
      if (at < 0 || text === undefined) return;
      left.shift();
      child.stdin.write(text);
    }
  };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      seen += text;
      answer();
    });
  }
  answer();
  if (!onTerminal) child.stdin.end();
  const [code] = await once(child, "close");
  return { exitCode: Number(code), seen };
}

async function tokens(generation: (typeof GENERATIONS)[number]) {
  const { source, target } = lab.incus[generation];
  scratch = await openScratch(source, target);
  const { project } = scratch;
  await createInstance(source, { project, name: "web1", pool: source.pools.btrfs });
  const client = { name: `onboard-${project}`, projects: [project] };
  const [from, to] = [await makeToken(source, client), await makeToken(target, client)];
  return { source, target, project, from, to };
}

type Told = Awaited<ReturnType<typeof tokens>>;

async function expectOnboarded({ source, target, project, from, to }: Told, seen: string): Promise<void> {
  const certificate = await readFile(join(folder, "credentials", "iab_client.crt"), "utf8");
  for (const daemon of [source, target]) await removeTrust(daemon, certificate);
  const config = parseConfig(await readFile(join(folder, "config.json"), "utf8"));
  expect(config.projects.find(({ name }) => name === project)?.instances).toMatchObject([{ name: "web1" }]);
  expect((await stat(join(folder, "credentials"))).mode & 0o777).toBe(0o700);
  for (const name of ["credentials/iab_client.key", "config.json"])
    expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
  for (const token of [from, to]) expect(seen).not.toContain(token.slice(0, 40));
}

test.each(GENERATIONS)("iab onboard on a terminal leads step by step to a configuration on Incus %s", async (each) => {
  const told = await tokens(each);
  const { exitCode, seen } = await onboard(
    [],
    [
      [/Token of the source server.*: /, "not a token\r"],
      [/has characters that no token has[\s\S]*Token of the source server.*: /, `${told.from}\r`],
      [/Address of the source server.*: /, `${told.source.url}\r`],
      [/Token of the target server.*: /, `${told.to}\r`],
      [/Address of the target server.*: /, `${told.target.url}\r`],
    ],
    true,
  );
  expect([exitCode, seen]).toEqual([0, expect.stringContaining("Next: read it")]);
  for (const side of ["source", "target"])
    expect(seen).toMatch(new RegExp(`on the ${side} server: +incus config trust add iab`));
  await expectOnboarded(told, seen);
});

test("iab onboard reads both tokens from standard input, the source's first", async () => {
  const told = await tokens("6.0");
  const urls = ["--sourceURL", told.source.url, "--targetURL", told.target.url];
  const flags = [...urls, "--sourceToken", "-", "--targetToken", "-"];
  const { exitCode, seen } = await onboard(flags, [[/^/, `${told.from}\n${told.to}\n`]], false);
  expect([exitCode, seen]).toEqual([0, expect.stringContaining("Next: read it")]);
  await expectOnboarded(told, seen);
});

test("Ctrl-C at a question of iab onboard ends it with 130, and nothing is written", async () => {
  const { exitCode } = await onboard([], [[/Token of the source server.*: /, "\u0003"]], true);
  expect(exitCode).toBe(130);
  for (const name of ["config.json", "credentials"]) expect(existsSync(join(folder, name))).toBe(false);
});
