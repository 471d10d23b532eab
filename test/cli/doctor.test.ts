import { expect, test } from "vitest";
import { z } from "zod";
import type { OffsiteHost } from "../../src/cli/offsite-host.ts";
import { AgentError } from "../../src/model/errors.ts";
import type { Side } from "../../src/model/job.ts";
import type { Server } from "../../src/model/ports.ts";
import type { ServerFacts } from "../../src/model/state.ts";
import { DAY_MS } from "../../src/model/time.ts";
import { makeCertificate } from "../fakes/incus/certificate.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { iab, memoryHost } from "./iab.ts";
import { CONFIG, data, db, web } from "./stage.ts";

const CREDENTIALS = "/etc/iab/credentials";
const KEY = `${CREDENTIALS}/iab_client.key`;
const UNTIL = Date.UTC(2040, 0, 1);
const NOW = Date.UTC(2026, 10, 20, 4);
const client = makeCertificate({ notBefore: new Date(Date.UTC(2020, 0, 1)), notAfter: new Date(UNTIL) });

const Found = z.object({
  exitCode: z.number(),
  checks: z.array(
    z.object({
      check: z.string(),
      subject: z.string(),
      state: z.string(),
      text: z.string(),
      remedy: z.string().nullable(),
    }),
  ),
});

type Options = {
  readonly config?: unknown;
  readonly files?: Readonly<Record<string, string>>;
  readonly modes?: Readonly<Record<string, number>>;
  readonly now?: number;
  readonly facts?: Partial<ServerFacts>;
  readonly servers?: (side: Side, server: Server) => Partial<Server>;
  readonly processes?: NonNullable<Parameters<typeof memoryWorld>[0]>["processes"];
  readonly environment?: Readonly<Record<string, string>>;
};

/** A machine on which all is as it should be, but for what the options say. */
function setUp(options: Options = {}) {
  const pin = (address: string) => [`${CREDENTIALS}/servers/${address}_8443.pem`, client.certificate] as const;
  const world = memoryWorld({
    now: options.now ?? NOW,
    files: {
      "./config.json": JSON.stringify(options.config ?? CONFIG),
      [`${CREDENTIALS}/iab_client.crt`]: client.certificate,
      [KEY]: client.key,
      ...Object.fromEntries([pin("192.0.2.10"), pin("192.0.2.11")]),
      ...options.files,
    },
    modes: options.modes ?? {},
    environment: options.environment ?? {},
    ...(options.processes === undefined ? {} : { processes: options.processes }),
  });
  const both = memoryServers(world.clock);
  for (const unit of [web, db, data]) both.source.add(unit, { content: unit.name });
  const host = (side: Side): OffsiteHost => {
    const server = both.servers[side];
    const facts = async (signal: AbortSignal) => {
      return { ...(await server.facts(signal)), certificate: client.certificate, ...options.facts };
    };
    const asked = { ...server, facts };
    return { ...memoryHost(both, side), server: { ...asked, ...options.servers?.(side, asked) } };
  };
  const run = (...argv: string[]) => iab(["doctor", ...argv], world, both, host);
  const found = async (...argv: string[]) => {
    const { exitCode, stdout } = await run("-f", "json", ...argv);
    const read = Found.parse(JSON.parse(stdout));
    expect(read.exitCode).toBe(exitCode);
    const of = (state: string) => read.checks.filter((check) => check.state === state);
    return { exitCode, checks: read.checks, failed: of("failed"), warnings: of("warning"), unknown: of("unknown") };
  };
  return { world, both, run, found };
}

test("iab doctor finds nothing where all is as it should be, and changes nothing", async () => {
  const { both, found } = setUp();
  const { exitCode, failed, warnings, unknown, checks } = await found("--strict");
  expect([exitCode, failed, warnings, unknown]).toEqual([0, [], [], []]);
  expect(checks.map(({ check, subject }) => `${check} ${subject}`)).toEqual([
    "config.read ./config.json",
    `credentials.identity ${CREDENTIALS}`,
    `credentials.mode ${KEY}`,
    "credentials.validity the agent",
    "credentials.pin prod",
    "credentials.pin backup",
    "lock.free ./config.json",
    "server.reached prod",
    "server.clock prod",
    "server.projects prod",
    "server.pool prod:local",
    "server.certificate prod",
    "server.reached backup",
    "server.clock backup",
    "server.projects backup",
    "server.pool backup:local",
    "server.certificate backup",
    "servers.listed both",
    "workloads.found all",
  ]);
  const asked = new Set(both.calls.map((call) => call.split(" ")[1]));
  const reading = [
    "facts",
    "members",
    "clock",
    "projects",
    "pools",
    "space",
    "instances",
    "volumes",
    "networks",
    "profiles",
  ];
  expect([...asked].filter((verb) => !reading.includes(verb ?? ""))).toEqual([]);
});

test("iab doctor shows a table to people", async () => {
  const { run } = setUp({ now: Date.UTC(2060, 0, 1), modes: { [KEY]: 0o100644 } });
  const { stdout, exitCode } = await run();
  expect(exitCode).toBe(3);
  await expect(stdout).toMatchFileSnapshot("../golden/doctor.txt");
});

test("iab doctor explains itself", async () => {
  const { run } = setUp();
  await expect((await run("--help")).stdout).toMatchFileSnapshot("../golden/help-doctor.txt");
});

test("iab doctor prints one line a check as CSV, and YAML", async () => {
  const { run } = setUp();
  expect((await run("-f", "csv")).stdout).toContain(
    "\ncredentials.pin,prod,ok,The certificate of https://192.0.2.10:8443",
  );
  expect((await run("-f", "yaml")).stdout).toContain("check: config.read");
});

const unreachable = new AgentError("incus.unreachable", "Cannot reach backup: connection refused", {
  hint: "Is it up?",
});

test("iab doctor looks at all the rest where a server is down", async () => {
  const { found } = setUp({
    servers: (side) => (side === "target" ? { facts: () => Promise.reject(unreachable) } : {}),
  });
  const { exitCode, failed, unknown, checks } = await found();
  expect(exitCode).toBe(3);
  expect(failed).toEqual([
    {
      check: "server.reached",
      subject: "backup",
      state: "failed",
      text: "Cannot reach backup: connection refused",
      remedy: "Is it up?",
    },
  ]);
  expect(unknown.map(({ check }) => check)).toEqual(["workloads.found", "history.rehearsed"]);
  expect(checks.filter(({ subject, state }) => subject.startsWith("prod") && state === "ok")).toHaveLength(6);
});

type Case = {
  name: string;
  options: Options;
  check: string;
  state: string;
  text: string | RegExp;
  remedy: string | RegExp;
};

const cases: Case[] = [
  {
    name: "a key that others may read",
    options: { modes: { [KEY]: 0o100644 } },
    check: "credentials.mode",
    state: "failed",
    text: "It holds secrets, and others may use it (0644)",
    remedy: `chmod o= ${KEY}`,
  },
  {
    name: "a key that its group may replace",
    options: { modes: { [KEY]: 0o100660 } },
    check: "credentials.mode",
    state: "warning",
    text: "Its group may write to it (0660)",
    remedy: `chmod g-w ${KEY}`,
  },
  {
    name: "a certificate that ends soon",
    options: { now: UNTIL - 10 * DAY_MS },
    check: "credentials.validity",
    state: "warning",
    text: /^It is valid until /,
    remedy: /iab onboard with fresh tokens$/,
  },
  {
    name: "a certificate that has ended",
    options: { now: UNTIL + DAY_MS },
    check: "credentials.validity",
    state: "failed",
    text: /^It was valid until /,
    remedy: /iab onboard with fresh tokens$/,
  },
  {
    name: "a pin that is missing",
    options: { config: { ...CONFIG, hosts: [{ ...CONFIG.hosts[0], url: "https://192.0.2.99" }, CONFIG.hosts[1]] } },
    check: "credentials.pin",
    state: "failed",
    text: "No certificate of https://192.0.2.99 is pinned",
    remedy: /^iab onboard for this server/,
  },
  {
    name: "a clock that is wrong",
    options: { servers: (_, server) => ({ clock: async () => NOW - 3_600_000, facts: server.facts }) },
    check: "server.clock",
    state: "warning",
    text: "Its clock is 3600 s behind ours",
    remedy: /NTP/,
  },
  {
    name: "a pool that is nearly full",
    options: { servers: () => ({ space: async () => ({ usedBytes: 95 * 1024 ** 3, totalBytes: 100 * 1024 ** 3 }) }) },
    check: "server.pool",
    state: "warning",
    text: "btrfs, 95 % of 100.0 GiB in use",
    remedy: /^Add room/,
  },
  {
    name: "a pool that is not there",
    options: { servers: () => ({ pools: async () => [] }) },
    check: "server.pool",
    state: "failed",
    text: "It has no pool local",
    remedy: /targetStorage/,
  },
  {
    name: "a project that is not there",
    options: { config: { ...CONFIG, projects: [{ ...CONFIG.projects[0], targetProject: "vault" }] } },
    check: "server.projects",
    state: "failed",
    text: "It has no vault",
    remedy: /incus project create vault/,
  },
  {
    name: "an Incus that is old",
    options: { servers: (_, server) => ({ facts: async (signal) => withoutExclude(await server.facts(signal)) }) },
    check: "server.capabilities",
    state: "warning",
    text: /^A refresh sends old snapshots again/,
    remedy: /^Update Incus/,
  },
  {
    name: "a workload that is not there",
    options: { config: { ...CONFIG, projects: [{ ...CONFIG.projects[0], instances: [{ name: "wbe1" }] }] } },
    check: "workloads.ready",
    state: "failed",
    text: "prod has no such instance",
    remedy: /^Check its name/,
  },
  {
    name: "a policy for nothing",
    options: { config: { ...CONFIG, retention: { hosts: { source: { projects: { elsewhere: { default: "2" } } } } } } },
    check: "config.loose-end",
    state: "warning",
    text: /no project of that name is replicated$/,
    remedy: "Correct the name, or remove it",
  },
  {
    name: "kept history that is yet to be rehearsed",
    options: { config: { ...CONFIG, projects: [{ ...CONFIG.projects[0], mode: "relay", history: "keep" }] } },
    check: "history.rehearsed",
    state: "warning",
    text: "Not rehearsed yet: files from Incus 7.0.2 (btrfs) to Incus 7.0.2 (btrfs)",
    remedy: /iab run$/,
  },
  {
    name: "a secret in a configuration that others may read",
    options: {
      config: { ...CONFIG, iab: { ...CONFIG.iab, healthchecksUrl: "https://hc.example/ping/x" } },
      modes: { "./config.json": 0o100644 },
    },
    check: "credentials.mode",
    state: "failed",
    text: "It holds secrets, and others may use it (0644)",
    remedy: "chmod o= ./config.json",
  },
  {
    name: "an address for notices that ends in a signal",
    options: { config: { ...CONFIG, iab: { ...CONFIG.iab, healthchecksUrl: "https://hc.example/ping/x/start" } } },
    check: "notices.address",
    state: "failed",
    text: "It ends in a signal of its own",
    remedy: "Leave out /start, /fail and /log",
  },
  {
    name: "an address for notices that cannot be read",
    options: { config: { ...CONFIG, iab: { ...CONFIG.iab, gotifyUrl: { env: "NOT_SET" } } } },
    check: "notices.address",
    state: "failed",
    text: /NOT_SET/,
    remedy: /./,
  },
];

function withoutExclude(facts: ServerFacts): ServerFacts {
  return { ...facts, can: { ...facts.can, excludeOlder: false } };
}

test.each(cases)("iab doctor finds $name, and says what to do", async ({ options, check, state, text, remedy }) => {
  const { checks } = await setUp(options).found();
  expect(checks).toContainEqual({
    check,
    subject: expect.any(String),
    state,
    text: typeof text === "string" ? text : expect.stringMatching(text),
    remedy: typeof remedy === "string" ? remedy : expect.stringMatching(remedy),
  });
});

test("iab doctor takes a bug for a bug, and not for a finding", async () => {
  const { run } = setUp({ servers: () => ({ clock: () => Promise.reject(new TypeError("no such thing")) }) });
  expect(await run()).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("this is a bug in iab: no such thing"),
  });
});

test("iab doctor ends with 7 for a warning when that is asked for, and with 0 when not", async () => {
  const options = { servers: () => ({ clock: async () => NOW - 3_600_000 }) };
  expect((await setUp(options).found()).exitCode).toBe(0);
  expect((await setUp(options).found("--strict")).exitCode).toBe(7);
});

test("iab doctor says what is wrong with a configuration that cannot be used", async () => {
  const { found } = setUp({ config: { ...CONFIG, projcets: [] } });
  const { exitCode, checks } = await found();
  expect(exitCode).toBe(3);
  expect(checks).toMatchObject([{ check: "config.read", state: "failed", text: expect.stringContaining("projcets") }]);
});

test("iab doctor asks no server for which there are no credentials", async () => {
  const { both, found } = setUp({ files: { [`${CREDENTIALS}/servers/192.0.2.11_8443.pem`]: "" } });
  const { checks, failed } = await found();
  expect(failed.map(({ check }) => check)).toEqual(["credentials.pin"]);
  expect(checks).toContainEqual(
    expect.objectContaining({ check: "server.reached", subject: "backup", state: "unknown" }),
  );
  expect(both.calls.filter((call) => call.startsWith("target"))).toEqual([]);
});

test("iab doctor tells of a run that is at work, and keeps no one out", async () => {
  const { world, found } = setUp();
  const lock = await world.files.lock("./config.json");
  const { exitCode, checks } = await found();
  expect([exitCode, checks.find(({ check }) => check === "lock.free")?.text]).toEqual([
    0,
    "A run is at work: this test",
  ]);
  await lock.release();
});

test("iab doctor tells which rehearsals have been passed", async () => {
  const config = { ...CONFIG, projects: [{ ...CONFIG.projects[0], mode: "relay", history: "keep" }] };
  const { world, both, found } = setUp({ config });
  await iab(["run"], world, both);
  const { checks } = await found("--strict");
  const rehearsed = checks.filter(({ check }) => check === "history.rehearsed");
  expect(rehearsed).toMatchObject([
    { state: "ok", text: expect.stringMatching(/^Passed: 1 filesystem 7\.0\.2 btrfs /) },
  ]);
});

const OFFSITE = {
  ...CONFIG,
  offsite: { repository_password: "open sesame", backend: { type: "filesystem", filesystem: { path: "/nowhere" } } },
};

test("iab doctor looks for Kopia, its repository and a window where backups go offsite", async () => {
  const { found } = setUp({ config: OFFSITE });
  const { checks } = await found();
  const offsite = checks.filter(({ check }) => check.startsWith("offsite."));
  expect(offsite).toMatchObject([
    { check: "offsite.program", subject: "kopia", state: "failed" },
    { check: "offsite.archive", subject: "filesystem", state: "unknown" },
    { check: "offsite.window", state: "ok", text: "Any time will do" },
  ]);
});

test("iab doctor tells Kopia's version, and why its repository does not open", async () => {
  const processes = async ({ argv }: { argv: readonly string[] }) =>
    argv.includes("--version")
      ? { exitCode: 0, stdout: "0.23.1 build: 1 from: kopia/kopia\n", stderr: "" }
      : {
          exitCode: 1,
          stdout: "",
          stderr: "unable to open repository: repository not initialized in the provided storage",
        };
  const { found } = setUp({
    config: OFFSITE,
    processes,
    environment: { HOME: "/root", USER: "iab" },
    files: { "/proc/sys/kernel/hostname": "here\n" },
  });
  const { checks } = await found();
  expect(checks).toContainEqual(
    expect.objectContaining({ check: "offsite.program", state: "ok", text: "Kopia 0.23.1" }),
  );
  expect(checks).toContainEqual(expect.objectContaining({ check: "offsite.archive", state: "failed" }));
});

/** What Kopia says of a repository: that there is none, or that it is there and empty. */
const KOPIA_SAYS = {
  "there is none": { exitCode: 1, stdout: "", stderr: "repository not initialized in the provided storage" },
  "it opens": { exitCode: 0, stdout: "[]", stderr: "" },
};
const STATUS = JSON.stringify({ clientOptions: { hostname: "h", username: "u" }, storage: { type: "filesystem" } });

const creations = [
  { where: "there is none", create: true, state: "ok", text: /the next run makes it/ },
  { where: "there is none", create: false, state: "failed", text: /there is no repository at that place/ },
  { where: "it opens", create: true, state: "warning", text: /offsite.create would make another/ },
  { where: "it opens", create: false, state: "ok", text: /holds no backup of ours yet$/ },
] as const;
test.each(creations)("iab doctor on offsite.create ($create) where $where: $state", async (each) => {
  const processes = async ({ argv }: { argv: readonly string[] }) => {
    if (argv.includes("--version")) return { exitCode: 0, stdout: "0.23.1\n", stderr: "" };
    const says = KOPIA_SAYS[each.where];
    return argv.includes("status") && says.exitCode === 0 ? { ...says, stdout: STATUS } : says;
  };
  const { found } = setUp({
    config: { ...OFFSITE, offsite: { ...OFFSITE.offsite, create: each.create } },
    processes,
    environment: { HOME: "/root", USER: "iab" },
    files: { "/proc/sys/kernel/hostname": "here\n" },
  });
  const { checks } = await found();
  expect(checks).toContainEqual(
    expect.objectContaining({ check: "offsite.archive", state: each.state, text: expect.stringMatching(each.text) }),
  );
});
