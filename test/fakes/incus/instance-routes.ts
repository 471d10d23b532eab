import { z } from "zod";
import { filterOf } from "./filter.ts";
import type { Context, Route } from "./host.ts";
import { param } from "./host.ts";
import { createInstance } from "./instance-create.ts";
import { sendInstance } from "./migrate-routes.ts";
import { etag, Refusal, type Reply, sync } from "./reply.ts";
import { projectQuery } from "./server-routes.ts";
import type { InstanceRecord } from "./state.ts";
import { addRecord, instancesOf, removeRecord } from "./state.ts";
import { changeState } from "./state-change.ts";
import { mayUse, requireProject } from "./trust.ts";
import { copyOfDevices, instanceJson, listed, mergedConfig, stateJson } from "./unit-json.ts";
import { startWork } from "./work.ts";

export const instanceRoutes: readonly Route[] = [
  { method: "GET", path: "/1.0/instances", handle: listInstances },
  { method: "POST", path: "/1.0/instances", handle: createInstance },
  { method: "GET", path: "/1.0/instances/:name", handle: getInstance },
  { method: "POST", path: "/1.0/instances/:name", handle: renameOrMigrate },
  { method: "PUT", path: "/1.0/instances/:name", handle: putInstance },
  { method: "PATCH", path: "/1.0/instances/:name", handle: patchInstance },
  { method: "DELETE", path: "/1.0/instances/:name", handle: deleteInstance },
  {
    method: "GET",
    path: "/1.0/instances/:name/state",
    handle: (context) => sync(stateJson(context.host.state, instanceOf(context))),
  },
  { method: "PUT", path: "/1.0/instances/:name/state", handle: changeState },
];

function listInstances(context: Context): Reply {
  const { host, caller, query, project } = context;
  const all = query.get("all-projects") === "true";
  if (all && query.has("project")) {
    throw new Refusal(400, "Cannot specify a project when requesting all projects");
  }
  if (!all && !mayUse(caller, project) && !host.generation.forbiddenListsAreEmpty) {
    throw new Refusal(500, `User does not have permissions for project "${project}"`);
  }
  const full = query.get("recursion") === "2";
  const matches = filterOf(query);
  const seen = instancesOf(host.state)
    .filter((instance) => mayUse(caller, instance.project) && (all || instance.project === project))
    .filter((instance) => matches(instanceJson(host.state, instance, false)));
  return sync(listed(context, seen, instanceUrl, (instance) => instanceJson(host.state, instance, full)));
}

function getInstance(context: Context): Reply {
  const instance = instanceOf(context);
  const full = context.query.get("recursion") === "1";
  return sync(instanceJson(context.host.state, instance, full), editable(instance));
}

/** The instance that the path names. */
export function instanceOf(context: Context): InstanceRecord {
  const { host, caller, project } = context;
  requireProject(caller, host.state, project);
  const name = param(context, "name");
  const found = host.state.units.get(`${project}/${name}`);
  if (found?.kind === "instance") return found;
  throw new Refusal(404, `Failed to fetch instance "${name}" in project "${project}": Instance not found`);
}

export function instanceUrl(instance: Pick<InstanceRecord, "name" | "project">): string {
  return `/1.0/instances/${instance.name}${projectQuery(instance.project)}`;
}

const Rename = z.object({ name: z.string().default(""), migration: z.boolean().default(false) });

function renameOrMigrate(context: Context): Reply {
  const { name, migration } = context.json(Rename);
  return migration ? sendInstance(context, instanceOf(context)) : renameInstance(context, name);
}

function renameInstance(context: Context, name: string): Reply {
  const { host } = context;
  const instance = instanceOf(context);
  if (host.state.units.has(`${instance.project}/${name}`)) throw new Refusal(409, `Name "${name}" already in use`);
  return startWork(context, {
    description: "Renaming instance",
    project: instance.project,
    resources: { instances: [instanceUrl(instance)] },
    work: () => {
      if (instance.status !== "Stopped") throw new Refusal(400, "Renaming of running instance not allowed");
      removeRecord(host.state, instance);
      instance.name = name;
      addRecord(host.state, instance);
      host.events.lifecycle(instance.project, "instance-renamed", instanceUrl(instance));
    },
  });
}

const Edit = z.object({
  description: z.string().optional(),
  config: z.record(z.string(), z.string()).nullish(),
  devices: z.record(z.string(), z.record(z.string(), z.string())).nullish(),
  profiles: z.array(z.string()).nullish(),
  ephemeral: z.boolean().optional(),
});

function putInstance(context: Context): Reply {
  const instance = instanceOf(context);
  const edit = context.json(Edit.extend({ restore: z.string().optional() }));
  requireMatch(context, editable(instance));
  return startWork(context, {
    description: edit.restore === undefined ? "Updating instance" : "Restoring snapshot",
    project: instance.project,
    resources: { instances: [instanceUrl(instance)] },
    work: () => {
      if (edit.restore !== undefined) return restore(instance, edit.restore);
      instance.config = edit.config ?? {};
      instance.devices = edit.devices ?? {};
      instance.profiles = edit.profiles ?? [];
      instance.description = edit.description ?? "";
      instance.ephemeral = edit.ephemeral ?? false;
    },
  });
}

/** Brings a snapshot's content and settings back; one that lost its dataset changes nothing and says nothing. */
function restore(instance: InstanceRecord, name: string): void {
  const snapshot = instance.snapshots.find((record) => record.name === name);
  if (snapshot === undefined) throw new Refusal(404, "Instance_snapshot not found");
  const dataset = instance.datasets.find((candidate) => candidate.name === name);
  if (dataset === undefined) return;
  instance.content = dataset.content;
  instance.config = { ...snapshot.config };
  instance.devices = copyOfDevices(snapshot.devices);
}

function patchInstance(context: Context): Reply {
  const instance = instanceOf(context);
  const edit = context.json(Edit);
  requireMatch(context, editable(instance));
  if (edit.config) instance.config = mergedConfig(instance.config, edit.config);
  if (edit.devices) instance.devices = { ...instance.devices, ...copyOfDevices(edit.devices) };
  if (edit.profiles) instance.profiles = edit.profiles;
  if (edit.ephemeral !== undefined) instance.ephemeral = edit.ephemeral;
  const kept = context.host.generation.patchKeepsDescription ? instance.description : "";
  instance.description = edit.description ?? kept;
  context.host.events.lifecycle(instance.project, "instance-updated", instanceUrl(instance));
  return sync({});
}

function deleteInstance(context: Context): Reply {
  const { host } = context;
  const instance = instanceOf(context);
  if (instance.status !== "Stopped") throw new Refusal(400, "Instance is running");
  return startWork(context, {
    description: "Deleting instance",
    project: instance.project,
    resources: { instances: [instanceUrl(instance)] },
    work: () => {
      if (instance.config["security.protection.delete"] === "true") {
        const { newWords } = host.generation;
        throw new Refusal(500, newWords ? "Instance has delete protection enabled" : "Instance is protected");
      }
      const listedNames = new Set(instance.snapshots.map((snapshot) => snapshot.name));
      instance.snapshots = [];
      if (instance.halves.size > 0) throw new Refusal(500, "Cannot remove an instance volume that has snapshots");
      instance.datasets = instance.datasets.filter((dataset) => !listedNames.has(dataset.name));
      refuseHidden(instance, host.state.pools.get(instance.pool)?.driver);
      removeRecord(host.state, instance);
      host.events.lifecycle(instance.project, "instance-deleted", instanceUrl(instance));
    },
  });
}

/** On btrfs what was sent again behind the database's back keeps its owner from being deleted. */
export function refuseHidden(unit: { readonly datasets: readonly unknown[] }, driver: string | undefined): void {
  if (driver === "btrfs" && unit.datasets.length > 0) {
    throw new Refusal(500, "Error deleting storage volume: Cannot remove a volume that has snapshots");
  }
}

function editable(instance: InstanceRecord): unknown {
  const { architecture, config, devices, ephemeral, profiles } = instance;
  return [architecture, config, devices, ephemeral, profiles];
}

/** Refuses a change that was made for an older state of the object. */
export function requireMatch(context: Context, of: unknown): void {
  const wanted = context.headers["if-match"];
  const current = etag(of);
  if (wanted === undefined || wanted.replaceAll('"', "") === current) return;
  throw new Refusal(412, `ETag doesn't match: ${current} vs ${wanted}`);
}
