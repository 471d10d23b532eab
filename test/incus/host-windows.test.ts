import { expect, test } from "vitest";
import { readHostWindows } from "../../src/incus/host-windows.ts";
import { connectTo, refuse, serve, sync } from "./local-server.ts";

type Answers = {
  readonly root?: unknown;
  readonly update?: unknown;
  readonly network?: unknown;
  readonly refusal?: readonly [number, string];
};

async function windowsOf({
  root = { environment: {} },
  update = { config: {} },
  network = { config: {} },
  refusal,
}: Answers) {
  const server = await serve(({ response, path }) => {
    if (refusal !== undefined) refuse(response, ...refusal);
    else sync(response, { "/os/1.0": root, "/os/1.0/system/update": update }[path] ?? network);
  });
  return readHostWindows(connectTo(server), new AbortController().signal);
}

test("readHostWindows() reads the windows and the host's zone", async () => {
  const weekend = {
    start_day_of_week: "Friday",
    start_hour: 22,
    start_minute: 30,
    end_day_of_week: "Monday",
    end_hour: 6,
    end_minute: 0,
  };
  const update = { config: { auto_reboot: true, maintenance_windows: [weekend, { start_hour: 3, end_hour: 4 }] } };
  const network = { config: { time: { timezone: "Europe/Berlin" } } };
  expect(await windowsOf({ update, network })).toEqual({
    zone: "Europe/Berlin",
    pending: undefined,
    windows: [
      { days: { start: "Friday", end: "Monday" }, startHour: 22, startMinute: 30, endHour: 6, endMinute: 0 },
      { days: undefined, startHour: 3, startMinute: 0, endHour: 4, endMinute: 0 },
    ],
  });
});

test("readHostWindows() of a host without windows and zone is none, in UTC", async () => {
  expect(await windowsOf({})).toEqual({ windows: [], zone: "UTC", pending: undefined });
});

const pending = [
  { environment: { os_version: "202611010000", os_version_next: "202611180000" }, says: /202611180000 waits/ },
  { environment: { os_version: "202611010000", os_version_next: "202611010000" }, says: /needs a reboot/ },
  { environment: { os_version: "202611010000" }, says: /needs a reboot/ },
];
test.each(pending)("readHostWindows() tells that the host may start anew: $says", async ({ environment, says }) => {
  const update = { config: {}, state: { needs_reboot: true } };
  expect(await windowsOf({ root: { environment }, update })).toMatchObject({ pending: expect.stringMatching(says) });
});

const unreadable: { name: string; answers: Answers; says: string }[] = [
  {
    name: "another system",
    answers: { refusal: [400, "System isn't running IncusOS"] },
    says: "it does not run IncusOS",
  },
  {
    name: "a restricted certificate",
    answers: { refusal: [403, "Certificate is restricted"] },
    says: "is restricted there",
  },
  { name: "an old Incus", answers: { refusal: [404, "not found"] }, says: "too old to tell" },
  {
    name: "a day that is none",
    answers: {
      update: { config: { maintenance_windows: [{ start_day_of_week: "monday", end_day_of_week: "monday" }] } },
    },
    says: "start_day_of_week",
  },
  {
    name: "an hour that is none",
    answers: { update: { config: { maintenance_windows: [{ start_hour: 25, end_hour: 3 }] } } },
    says: "start_hour",
  },
];

test.each(unreadable)("readHostWindows() of $name is an error and never 'always'", async ({ answers, says }) => {
  await expect(windowsOf(answers)).rejects.toMatchObject({
    code: "window.unreadable",
    message: expect.stringContaining(says),
    hint: expect.stringContaining("offsite.maintenance_windows"),
  });
});
