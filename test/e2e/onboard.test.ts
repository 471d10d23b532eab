import { afterEach, expect, test } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import { iab } from "../cli/iab.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
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

test("iab onboard sends a token to no other server than its own", async () => {
  const { source } = lab.incus["6.0"];
  const other = lab.incus["7.0"].source;
  const here = world({ "/t/source": await makeToken(source, { name: "for-another" }) });
  const refused = await iab(["onboard", "--sourceURL", other.url, "--sourceToken", "@/t/source"], here);
  expect(refused.exitCode).toBe(5);
  expect(refused.stderr).toContain("is not the one that was expected");
  expect([...here.texts.keys()]).toEqual(["/t/source"]);
});
