// What `make demo` shows where real Incus cannot run: the same agent, between two small servers that only play Incus.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { argv } from "node:process";
import { FakeIncus } from "../test/fakes/incus/start-fake-incus.ts";

const program = resolve(argv[2] ?? "dist/iab.mjs");
const folder = await mkdtemp(join(tmpdir(), "iab-demo-"));
const [source, target] = [new FakeIncus({ name: "source" }), new FakeIncus({ name: "target" })];
await Promise.all([source.listen(), target.listen()]);
try {
  await show();
} finally {
  await Promise.all([source.close(), target.close()]);
  await rm(folder, { recursive: true });
}

async function show(): Promise<void> {
  title("Two small servers that play Incus: what is copied is real, where it lies is memory");
  const web = source.addInstance({ name: "web", content: "<h1>Monday</h1>" });
  const db = source.addInstance({ name: "db", content: "tables" });
  const data = source.addVolume({ name: "data", content: "order 1" });
  const media = source.addVolume({ name: "media", content: "la la la" });

  title("Onboarding: a trust token of each server, then one command. It writes config.json");
  await writeFile(join(folder, "source.token"), source.addToken());
  await writeFile(join(folder, "target.token"), target.addToken());
  const ends = ["--sourceURL", source.url, "--sourceToken", "@source.token", "--targetURL", target.url];
  await iab("onboard", ...ends, "--targetToken", "@target.token", "--iabCredDir", "credentials");

  title("What would a run do? It says so, and changes nothing");
  await iab("plan");
  title("Do it");
  await iab("run");

  title("Something changes, and a second run sends just that");
  source.setContent(web, "<h1>Tuesday</h1>");
  source.setContent(data, "order 2");
  await iab("run");
  title("What is where");
  await iab("status");

  title("A policy: keep the newest snapshot. A dry run explains every deletion, the run carries it out");
  const config = join(folder, "config.json");
  await writeFile(config, (await readFile(config, "utf8")).replaceAll('"default": ""', '"default": "1"'));
  await iab("plan");
  await iab("run");

  title("The same content on both sides? Digests of the newest snapshot of each workload");
  for (const unit of [web, db, data, media]) {
    const newest = source.snapshots(unit).at(-1);
    const [here, there] = [source.digest(unit, newest), target.digest(unit, newest)];
    console.log(
      `${unit.name.padEnd(8)} ${here?.slice(0, 16)} ${there?.slice(0, 16)} ${here === there ? "same" : "DIFFERENT"}`,
    );
    if (here === undefined || here !== there) process.exitCode = 1;
  }
  title("That was it. On a Debian machine, as root, make demo shows it with real Incus");
}

function title(text: string): void {
  console.log(`\n== ${text}`);
}

/** Types a command and runs it. The servers answer from this very process, so it must not block. */
async function iab(...words: string[]): Promise<void> {
  console.log(`\nagent$ iab ${words.join(" ")}`);
  const options = ["--log-level", "warn", "--no-progress"];
  const child = spawn(process.execPath, [program, ...options, ...words], { cwd: folder, stdio: "inherit" });
  const exitCode = await new Promise<number | null>((ended) => child.once("close", ended));
  if (exitCode !== 0) throw new Error(`iab ${words[0]} ended with ${exitCode}`);
}
