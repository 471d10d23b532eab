import { randomBytes } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { z } from "zod";
import { call } from "./daemon-api.ts";
import type { Daemon, LabDaemon } from "./lab.ts";

/** A project of a test's own, of one name on all its servers; `close()` removes it with all that is in it. */
export type Scratch = { readonly project: string; close(): Promise<void> };

/** Images and profiles are those of the project `default`, volumes are the project's own. */
const FEATURES = {
  "features.images": "false",
  "features.profiles": "false",
  "features.storage.volumes": "true",
  "features.storage.buckets": "true",
};

export async function openScratch(...daemons: Daemon[]): Promise<Scratch> {
  const project = `test-${randomBytes(4).toString("hex")}`;
  for (const daemon of daemons) await createProject(daemon, project);
  const close = async () => {
    for (const daemon of daemons) await removeProject(daemon, project);
  };
  return { project, close };
}

/** A project as a scratch one is, for who ends its server rather than the project. */
export async function createProject(daemon: Daemon, name: string, config: Record<string, string> = {}): Promise<void> {
  await call(daemon, "POST", "/1.0/projects", { name, config: { ...FEATURES, ...config } });
}

const Instance = z.object({ name: z.string(), status: z.string(), config: z.record(z.string(), z.string()) });
const Volume = z.object({ name: z.string(), type: z.string(), project: z.string() });
const Named = z.object({ name: z.string() });

/** Removes a project with all that is in it, running and protected instances too. */
async function removeProject(daemon: Daemon, project: string): Promise<void> {
  await emptyProject(daemon, project);
  // Never with ?force=true: where a project borrows the profiles of `default`, 6.0.4 then empties those.
  if (project !== "default") await call(daemon, "DELETE", `/1.0/projects/${project}`);
}

async function emptyProject(daemon: Daemon, project: string): Promise<void> {
  const query = `project=${project}`;
  const instances = await call(daemon, "GET", `/1.0/instances?recursion=1&${query}`);
  for (const { name, status, config } of z.array(Instance).parse(instances)) {
    const path = `/1.0/instances/${name}`;
    if (config["security.protection.delete"] === "true") {
      await call(daemon, "PATCH", `${path}?${query}`, { config: { "security.protection.delete": "" } });
    }
    if (status !== "Stopped") {
      await call(daemon, "PUT", `${path}/state?${query}`, { action: "stop", force: true, timeout: 30 });
    }
    await deleteInstance(daemon, `${path}?${query}`);
  }
  for (const pool of await names(daemon, "/1.0/storage-pools")) await removeVolumes(daemon, pool, project);
  await removeProfilesAndImages(daemon, project);
}

/** A server that has given a migration up may hold its instance for half a minute, and list no operation any more. */
async function deleteInstance(daemon: Daemon, path: string): Promise<void> {
  const until = Date.now() + 60_000;
  for (;;) {
    try {
      await call(daemon, "DELETE", path);
      return;
    } catch (error) {
      if (!/busy running/.test(String(error)) || Date.now() > until) throw error;
    }
    await setTimeout(1000);
  }
}

const Project = z.object({ config: z.record(z.string(), z.string()) });

async function removeProfilesAndImages(daemon: Daemon, project: string): Promise<void> {
  if (project === "default") return;
  const { config } = Project.parse(await call(daemon, "GET", `/1.0/projects/${project}`));
  if (config["features.profiles"] === "true") await removeProfiles(daemon, project);
  if (config["features.images"] !== "true") return;
  const images = z.array(z.object({ fingerprint: z.string() }));
  for (const { fingerprint } of images.parse(await call(daemon, "GET", `/1.0/images?recursion=1&project=${project}`))) {
    await call(daemon, "DELETE", `/1.0/images/${fingerprint}?project=${project}`);
  }
}

async function removeProfiles(daemon: Daemon, project: string): Promise<void> {
  for (const profile of await names(daemon, `/1.0/profiles`, project)) {
    if (profile !== "default") await call(daemon, "DELETE", `/1.0/profiles/${profile}?project=${project}`);
  }
}

async function removeVolumes(daemon: Daemon, pool: string, project: string): Promise<void> {
  const path = `/1.0/storage-pools/${pool}/volumes`;
  const volumes = z.array(Volume).parse(await call(daemon, "GET", `${path}?recursion=1&project=${project}`));
  const own = volumes.filter((each) => each.type === "custom" && !each.name.includes("/") && each.project === project);
  for (const { name } of own) await call(daemon, "DELETE", `${path}/custom/${name}?project=${project}`);
}

/**
 * Brings a daemon back to what `make lab` made: no instances and volumes, no projects, profiles, pools, certificates and
 * tokens but its own. For tests that work outside a scratch project.
 */
export async function resetDaemon(daemon: LabDaemon): Promise<void> {
  for (const project of await names(daemon, "/1.0/projects")) await removeProject(daemon, project);
  await removeProfiles(daemon, "default");
  const root = { type: "disk", path: "/", pool: daemon.pools.btrfs };
  await call(daemon, "PUT", "/1.0/profiles/default", { config: {}, description: "", devices: { root } });
  const pools: string[] = Object.values(daemon.pools);
  for (const pool of await names(daemon, "/1.0/storage-pools")) {
    if (!pools.includes(pool)) await call(daemon, "DELETE", `/1.0/storage-pools/${pool}`);
  }
  const trusted = z.array(z.object({ fingerprint: z.string() }));
  for (const { fingerprint } of trusted.parse(await call(daemon, "GET", "/1.0/certificates?recursion=1"))) {
    await call(daemon, "DELETE", `/1.0/certificates/${fingerprint}`);
  }
  await dropTokens(daemon);
}

const Operations = z.record(z.string(), z.array(z.object({ id: z.string(), class: z.string() })));

/** A token that was never redeemed is an operation that waits. */
async function dropTokens(daemon: Daemon): Promise<void> {
  const operations = Operations.parse(await call(daemon, "GET", "/1.0/operations?recursion=1"));
  for (const operation of Object.values(operations).flat()) {
    if (operation.class === "token") await call(daemon, "DELETE", `/1.0/operations/${operation.id}`);
  }
}

async function names(daemon: Daemon, path: string, project = "default"): Promise<string[]> {
  return z
    .array(Named)
    .parse(await call(daemon, "GET", `${path}?recursion=1&project=${project}`))
    .map((each) => each.name);
}
