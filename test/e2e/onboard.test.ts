import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import { iab } from "../cli/iab.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { call } from "../lab/daemon-api.ts";
import { GENERATIONS, type LabDaemon, openLab } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { makeToken, removeTrust } from "../lab/trust.ts";
import { createInstance, createVolume } from "../lab/workloads.ts";

const lab = openLab();
const CERTIFICATE = "/home/me/.config/incusAutobackup/iab_client.crt";
const CONFIG = "/etc/iab/config.json";

let scratch: Scratch | undefined;
let undo: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of undo) await step();
  undo = [];
  await scratch?.close();
  scratch = undefined;
});

function world(files: Record<string, string>) {
  return memoryWorld({ now: Date.now(), files, environment: { HOME: "/home/me" } });
}

const rights = [
  { title: "unrestricted tokens", restricted: false },
  { title: "tokens for one project", restricted: true },
];
const cases = GENERATIONS.flatMap((generation) => rights.map((each) => ({ generation, ...each })));

test.each(cases)(
  "iab onboard with $title on Incus $generation writes a config that names what is there",
  async (each) => {
    const { source, target } = lab.incus[each.generation];
    scratch = await openScratch(source, target);
    const { project } = scratch;
    await createInstance(source, { project, name: "web1", pool: source.pools.btrfs });
    await createVolume(source, { project, pool: source.pools.dir, name: "data" });
    const client = { name: `onboard-${project}`, ...(each.restricted ? { projects: [project] } : {}) };
    const here = world({ "/t/source": await makeToken(source, client), "/t/target": await makeToken(target, client) });
    const urls = ["--sourceURL", source.url, "--targetURL", target.url];
    const tokens = ["--sourceToken", "@/t/source", "--targetToken", "@/t/target"];

    const first = await iab(["onboard", ...urls, ...tokens, "--outConfig", "/etc/iab"], here);
    const certificate = here.texts.get(CERTIFICATE) ?? "";
    undo = [source, target].map((daemon) => () => removeTrust(daemon, certificate));
    expect(first).toMatchObject({ exitCode: 0, stderr: "" });
    expect(first.stdout).toContain("source: ");

    const config = parseConfig(here.texts.get(CONFIG) ?? "");
    expect(config.projects.find(({ name }) => name === project)).toMatchObject({
      instances: [{ name: "web1" }],
      volumes: [{ name: "data" }],
    });

    const before = new Map(here.texts);
    const again = await iab(["onboard", ...urls, ...tokens, "--outConfig", "/etc/iab"], here);
    expect(again).toMatchObject({ exitCode: 2, stdout: "" });
    expect(again.stderr).toContain(`Cannot write ${CONFIG}: it exists`);
    expect(new Map(here.texts)).toEqual(before);

    const bare = await iab(["onboard", ...urls, "--bare", "--outConfig", "/etc/iab/bare.json"], here);
    expect(bare).toMatchObject({ exitCode: 0 });
    expect(bare.stdout).toContain("trusts the agent already");
    expect(parseConfig(here.texts.get("/etc/iab/bare.json") ?? "").projects).toEqual([]);
  },
);

test.each(GENERATIONS)(
  "iab onboard on Incus %s refuses a used token, says so, and pins nothing, but goes on with a half-done onboarding",
  async (generation) => {
    const { source, target } = lab.incus[generation];
    const token = await makeToken(source, { name: "used-twice" });
    const argv = ["onboard", "--sourceURL", source.url, "--sourceToken", "@/t/source", "--targetURL", target.url];
    const first = world({ "/t/source": token });
    // The target has no token: the source is onboarded by then.
    expect(await iab(argv, first)).toMatchObject({ exitCode: 2 });
    undo = [source, target].map((server) => () => removeTrust(server, first.texts.get(CERTIFICATE) ?? ""));
    // What was interrupted is continued by the same words, although its token is used up.
    first.texts.set("/t/target", await makeToken(target, { name: "used-twice" }));
    const rest = ["--targetToken", "@/t/target", "--bare", "--outConfig", "/etc/iab"];
    const continued = await iab([...argv, ...rest], first);
    expect(continued).toMatchObject({ exitCode: 0, stderr: "" });
    expect(continued.stdout).toMatch(/source: \S+ trusts the agent already\ntarget: \S+ trusts the agent now/);

    const second = world({ "/t/source": token });
    const refused = await iab(argv, second);
    expect(refused.exitCode).toBe(5);
    expect(refused.stderr).toMatch(/does not accept the trust token: it does not know the token, or no longer/);
    expect(refused.stderr).not.toContain(token);
    expect([...second.texts.keys()].filter((path) => path.includes("/servers/"))).toEqual([]);
  },
);

test.each(GENERATIONS)(
  "iab onboard on Incus %s, typed again, needs no good token where it is trusted, and one where it is not",
  async (generation) => {
    const { source, target } = lab.incus[generation];
    const argv = ["onboard", "--sourceURL", source.url, "--targetURL", target.url, "--bare", "--outConfig", "/etc/iab"];
    argv.push("--sourceToken", "@/t/source", "--targetToken", "@/t/target");
    const client = { name: "expires" };
    const here = world({ "/t/source": await makeToken(source, client), "/t/target": await makeToken(target, client) });
    expect(await iab(argv, here)).toMatchObject({ exitCode: 0, stderr: "" });
    const certificate = here.texts.get(CERTIFICATE) ?? "";
    undo = [source, target].map((server) => () => removeTrust(server, certificate));
    const written = here.texts.get(CONFIG) ?? "";

    // The very same words, once the configuration is gone: both tokens are used up.
    here.texts.delete(CONFIG);
    const again = await iab(argv, here);
    expect(again).toMatchObject({ exitCode: 0, stderr: "" });
    expect(again.stdout).toMatch(/source: \S+ trusts the agent already\ntarget: \S+ trusts the agent already/);
    expect(parseConfig(here.texts.get(CONFIG) ?? "").hosts).toEqual(parseConfig(written).hosts);

    here.texts.delete(CONFIG);
    here.texts.set("/t/source", await expiredToken(source));
    // A world of its own: the clock of one stands still.
    const later = world(Object.fromEntries(here.texts));
    const expired = await iab(argv, later);
    expect(expired).toMatchObject({ exitCode: 0, stderr: "" });
    expect(expired.stdout).toMatch(/source: \S+ trusts the agent already/);

    later.texts.delete(CONFIG);
    await undo.shift()?.();
    const before = new Map(later.texts);
    const refused = await iab(argv, later);
    expect(refused).toMatchObject({ exitCode: 2, stdout: "" });
    expect(refused.stderr).toMatch(/Cannot use the token for the source server: it expired at 20/);
    expect(new Map(later.texts)).toEqual(before);
  },
);

/** A token whose time is over, as a server makes it that gives its tokens a second. */
async function expiredToken(daemon: LabDaemon): Promise<string> {
  await call(daemon, "PATCH", "/1.0", { config: { "core.remote_token_expiry": "1S" } });
  try {
    const token = await makeToken(daemon, { name: "expires" });
    await sleep(1500);
    return token;
  } finally {
    await call(daemon, "PATCH", "/1.0", { config: { "core.remote_token_expiry": "" } });
  }
}

test("iab onboard sends a token to no other server than its own", async () => {
  const { source } = lab.incus["6.0"];
  const other = lab.incus["7.0"].source;
  const here = world({ "/t/source": await makeToken(source, { name: "for-another" }) });
  const refused = await iab(["onboard", "--sourceURL", other.url, "--sourceToken", "@/t/source"], here);
  expect(refused.exitCode).toBe(5);
  expect(refused.stderr).toContain("is not the one that was expected");
  expect([...here.texts.keys()]).toEqual(["/t/source"]);
});
