import { randomBytes, randomUUID } from "node:crypto";
import { join, resolve } from "node:path";
import { openServer } from "../incus/server.ts";
import { trustOver } from "../incus/trust.ts";
import { survey } from "../inventory/survey.ts";
import { AgentError } from "../model/errors.ts";
import { SIDES } from "../model/job.ts";
import type { World } from "../model/ports.ts";
import type { Secret } from "../model/secret.ts";
import type { State } from "../model/state.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../model/time.ts";
import { firstConfig } from "../onboard/first-config.ts";
import { type Invitation, type Onboarded, onboardServer } from "../onboard/onboard-server.ts";
import { keyPairs } from "../system/key-pairs.ts";
import { askInvitation, INTRODUCTION } from "./ask-invitation.ts";
import { EXIT } from "./exit.ts";
import type { OnboardOptions as Options } from "./onboard.ts";
import { type ReadValue, valueReader } from "./value-reader.ts";

/** Onboards both servers, one after the other, and writes the configuration when both are done. */
export async function onboard(options: Options, world: World): Promise<number> {
  const { files, signal, clock } = world;
  const configPath = await freePath(options, world);
  const folder = resolve(options.iabCredDir ?? defaultFolder(world.environment));
  const read = valueReader(world);
  const invitations = await invitationsOf(options, read, world);
  const apiKey = await read(options.healthchecksKey, "--healthchecksKey");

  const onboarded: Onboarded[] = [];
  for (const each of invitations) {
    const serial = randomBytes(16).toString("hex");
    const tools = { trust: trustOver(clock), files, keyPairs, now: clock.now(), serial };
    const done = await onboardServer(each, folder, tools, signal);
    world.print(
      `${each.side}: ${done.url} ${done.alreadyTrusted ? "trusts the agent already" : "trusts the agent now"}`,
    );
    onboarded.push(done);
  }
  const [source, target] = onboarded as [Onboarded, Onboarded];
  const looked = await lookAtBoth(source, target, world);
  const names = {
    source: looked.source.facts.serverName || "source",
    target: looked.target.facts.serverName || "target",
  };
  const text = firstConfig({
    credentialsFolder: folder,
    uuid: randomUUID(),
    sourceUrl: source.url,
    targetUrl: target.url,
    healthchecksUrl: apiKey === undefined ? undefined : await check(names, apiKey, options.healthchecksApi),
    names: names.source === names.target ? { source: "source", target: "target" } : names,
    state: options.bare ? undefined : looked,
  });
  await files.writePrivate(configPath, text);
  world.print(`Wrote ${configPath}\n\nNext: read it, then see what a run would do:\n  iab plan --config ${configPath}`);
  return EXIT.ok;
}

/** The configuration's path. An existing one ends the command before anything is done. */
async function freePath({ outConfig, force }: Options, { files }: World): Promise<string> {
  const path = resolve(outConfig.endsWith(".json") ? outConfig : join(outConfig, "config.json"));
  if (force || !(await files.exists(path))) return path;
  throw new AgentError("usage", `Cannot write ${path}: it exists`, {
    hint: "Give another --outConfig, or --force to overwrite it",
  });
}

// Where IAB 1.2.0 keeps them.
function defaultFolder(environment: World["environment"]): string {
  const configHome = environment["XDG_CONFIG_HOME"] || join(environment["HOME"] ?? ".", ".config");
  return join(configHome, "incusAutobackup");
}

/** What is known of both servers: from the command line and, where somebody sits there, by asking for the rest. */
async function invitationsOf(options: Options, read: ReadValue, world: World): Promise<Invitation[]> {
  const given: Invitation[] = [];
  for (const side of SIDES) {
    const token = await read(options[`${side}Token`], `--${side}Token`);
    given.push({ side, url: options[`${side}URL`], token: token?.reveal() });
  }
  if (!world.terminal.stdinIsTerminal || given.every(({ token }) => token !== undefined)) return given;
  world.terminal.tell(INTRODUCTION);
  const invitations: Invitation[] = [];
  for (const each of given) invitations.push(each.token === undefined ? await askInvitation(each, world) : each);
  return invitations;
}

async function check(names: { source: string; target: string }, apiKey: Secret, apiUrl: string): Promise<string> {
  // Loaded on demand: most who onboard have no use for it.
  const { ensureCheck } = await import("../notify/healthchecks-check.ts");
  const wanted = { name: `iab ${names.source} to ${names.target}`, everyMs: DAY_MS, graceMs: 3 * HOUR_MS };
  return ensureCheck(wanted, apiKey, apiUrl.replace(/\/+$/, ""));
}

/** One look at both servers, for the first configuration. */
async function lookAtBoth(source: Onboarded, target: Onboarded, { clock, signal }: World): Promise<State> {
  const open = ({ side, url, identity, pin }: Onboarded) =>
    openServer({ host: side, url, credentials: { ...identity, pin }, clock, operationTimeoutMs: MINUTE_MS });
  const servers = { source: open(source), target: open(target) };
  try {
    return await survey([], servers, signal);
  } finally {
    await Promise.all([servers.source.close(), servers.target.close()]);
  }
}
