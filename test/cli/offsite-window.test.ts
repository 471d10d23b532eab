import { expect, test } from "vitest";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { iab } from "./iab.ts";

const NIGHTS = [{ start_hour: 22, start_minute: 0, end_hour: 6, end_minute: 0 }];

function ask(argv: readonly string[], offsite: object | undefined) {
  const config = {
    iab: { iabCredDir: "/c" },
    hosts: [
      { name: "a", role: "source", url: "https://192.0.2.1:8443" },
      { name: "b", role: "target", url: "https://192.0.2.2:8443" },
    ],
    projects: [],
    offsite,
  };
  const world = memoryWorld({ now: Date.UTC(2026, 10, 22, 12), files: { "./config.json": JSON.stringify(config) } });
  return iab(["offsite", "window", ...argv], world);
}

function withWindows(maintenance_windows: unknown, more: object = {}) {
  const backend = { type: "filesystem", filesystem: { path: "/backup" } };
  return { repository_password: "secret", backend, maintenance_windows, time_zone: "Europe/Berlin", ...more };
}

test("iab offsite window -f json has the documented shape", async () => {
  const { exitCode, stdout, stderr } = await ask(["-f", "json"], withWindows(NIGHTS));
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(JSON.parse(stdout)).toEqual({
    at: "2026-11-22T12:00:00Z",
    active: false,
    opensAt: "2026-11-22T21:00:00Z",
    closesAt: "2026-11-23T05:01:00Z",
    windows: 1,
  });
});

test("iab offsite window without windows is always open", async () => {
  const { stdout } = await ask(["-f", "json", "--at", "2026-01-01T00:00:00Z"], withWindows([]));
  expect(JSON.parse(stdout)).toEqual({
    at: "2026-01-01T00:00:00Z",
    active: true,
    opensAt: null,
    closesAt: null,
    windows: 0,
  });
});

const sentences = [
  {
    at: "2026-11-22T12:00:00Z",
    says: "Closed: the next one opens in 9h, on Sunday 22 November, 22:00 (Europe/Berlin)",
  },
  { at: "2026-11-23T00:31:00Z", says: "Open: it closes in 4h 30m, on Monday 23 November, 06:01 (Europe/Berlin)" },
];
test.each(sentences)("iab offsite window --at $at tells people when it changes", async ({ at, says }) => {
  const { stdout } = await ask(["--at", at], withWindows(NIGHTS));
  expect(stdout).toBe(says);
});

test("iab offsite window without an offsite part is an error that says so", async () => {
  const { exitCode, stderr, stdout } = await ask([], undefined);
  expect([exitCode, stdout]).toEqual([4, ""]);
  expect(stderr).toContain("./config.json has no offsite part");
});

test("iab offsite window refuses a time that is none", async () => {
  expect(await ask(["--at", "tonight"], withWindows(NIGHTS))).toMatchObject({ exitCode: 2, stdout: "" });
});
