import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/** `systemd-analyze security` counts in tenths: 15 is an exposure of 1.5. */
const HIGHEST_EXPOSURE = 15;

const UNITS = ["iab", "iab-offsite"] as const;

let folder: string;
const pathOf = (unit: string, kind: "service" | "timer") => join(folder, `${unit}.${kind}`);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "iab-units-"));
  for (const unit of UNITS) {
    // The program is not installed where tests run; whether it exists is not what is verified here.
    const service = readFileSync(`systemd/${unit}.service`, "utf8").replace("/usr/bin/iab", "/bin/true");
    writeFileSync(pathOf(unit, "service"), service);
    writeFileSync(pathOf(unit, "timer"), readFileSync(`systemd/${unit}.timer`, "utf8"));
  }
});

afterAll(() => rmSync(folder, { recursive: true }));

describe.each(UNITS)("%s", (unit) => {
  test("its units are clean for systemd-analyze verify", () => {
    expect(analyze(["verify", "--man=no", pathOf(unit, "service"), pathOf(unit, "timer")])).toBe("");
  });

  test(`its exposure is at most ${HIGHEST_EXPOSURE / 10}`, () => {
    const said = analyze(["security", "--offline=true", `--threshold=${HIGHEST_EXPOSURE}`, pathOf(unit, "service")]);
    expect(said).toMatch(/Overall exposure level for iab(-offsite)?\.service: \d+\.\d/);
  });

  test("neither another run nor a closed window is a failure of it", () => {
    expect(readFileSync(pathOf(unit, "service"), "utf8")).toMatch(/^SuccessExitStatus=11 75$/m);
  });

  test("its timer runs daily, catches up and spreads its load", () => {
    const text = readFileSync(pathOf(unit, "timer"), "utf8");
    expect(text).toMatch(/^Persistent=true$/m);
    expect(text).toMatch(/^RandomizedDelaySec=/m);
    const schedule = /^OnCalendar=(.+)$/m.exec(text)?.[1] ?? "";
    expect(analyze(["calendar", "--iterations=2", schedule])).toMatch(/Iter[^#]* #2/);
  });
});

/** What systemd-analyze said on either stream; a refusal of its own ends the test. */
function analyze(args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync("systemd-analyze", args, { encoding: "utf8" });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`systemd-analyze ${args[0]}: ${stdout}${stderr}`);
  return stdout + stderr;
}
