import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

/** `systemd-analyze security` counts in tenths: 15 is an exposure of 1.5. */
const HIGHEST_EXPOSURE = 15;

let folder: string;
let service: string;
let timer: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "iab-units-"));
  service = join(folder, "iab.service");
  timer = join(folder, "iab.timer");
  // The program is not installed where tests run; whether it exists is not what is verified here.
  writeFileSync(service, readFileSync("systemd/iab.service", "utf8").replace("/usr/bin/iab", "/bin/true"));
  writeFileSync(timer, readFileSync("systemd/iab.timer", "utf8"));
});

afterAll(() => rmSync(folder, { recursive: true }));

test("the units are clean for systemd-analyze verify", () => {
  expect(analyze(["verify", "--man=no", service, timer])).toBe("");
});

test(`the service's exposure is at most ${HIGHEST_EXPOSURE / 10}`, () => {
  const said = analyze(["security", "--offline=true", `--threshold=${HIGHEST_EXPOSURE}`, service]);
  expect(said).toMatch(/Overall exposure level for iab\.service: \d+\.\d/);
});

test("the timer runs daily, catches up and spreads its load", () => {
  const text = readFileSync(timer, "utf8");
  expect(text).toMatch(/^Persistent=true$/m);
  expect(text).toMatch(/^RandomizedDelaySec=/m);
  const schedule = /^OnCalendar=(.+)$/m.exec(text)?.[1] ?? "";
  expect(analyze(["calendar", "--iterations=2", schedule])).toMatch(/Iter[^#]* #2/);
});

/** What systemd-analyze said on either stream; a refusal of its own ends the test. */
function analyze(args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync("systemd-analyze", args, { encoding: "utf8" });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`systemd-analyze ${args[0]}: ${stdout}${stderr}`);
  return stdout + stderr;
}
