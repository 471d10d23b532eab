import { z } from "zod";
import type { Context } from "./host.ts";
import { instanceOf, instanceUrl } from "./instance-routes.ts";
import { Refusal, type Reply } from "./reply.ts";
import type { InstanceRecord, State } from "./state.ts";
import { expandedDevices, projectWith, removeRecord } from "./state.ts";
import { startWork } from "./work.ts";

const Change = z.object({ action: z.string().default(""), force: z.boolean().default(false) });

const DESCRIPTIONS = new Map([
  ["start", "Starting instance"],
  ["stop", "Stopping instance"],
  ["restart", "Restarting instance"],
  ["freeze", "Freezing instance"],
  ["unfreeze", "Unfreezing instance"],
]);

/** `PUT …/state` */
export function changeState(context: Context): Reply {
  const { host } = context;
  const instance = instanceOf(context);
  const { action, force } = context.json(Change);
  const description = DESCRIPTIONS.get(action);
  if (description === undefined) throw new Refusal(400, `Unknown action: '${action}'`);
  return startWork(context, {
    description,
    project: instance.project,
    resources: { instances: [instanceUrl(instance)] },
    work: () => {
      if (instance.busyWith !== undefined) {
        throw new Refusal(500, `Instance is busy running a "${instance.busyWith}" operation`);
      }
      instance.status = statusAfter(host.state, action, force, instance);
      if (action === "start" || action === "restart") instance.lastUsedAt = host.now();
      host.events.lifecycle(instance.project, `instance-${PAST.get(action)}`, instanceUrl(instance));
      if (instance.ephemeral && action === "stop") removeRecord(host.state, instance);
    },
  });
}

const PAST = new Map([
  ["start", "started"],
  ["stop", "stopped"],
  ["restart", "restarted"],
  ["freeze", "paused"],
  ["unfreeze", "resumed"],
]);

function statusAfter(state: State, action: string, force: boolean, instance: InstanceRecord): InstanceRecord["status"] {
  switch (action) {
    case "start":
      return started(state, instance);
    case "stop":
      return stopped(instance, force);
    case "freeze":
      if (instance.status === "Stopped") throw new Refusal(500, "The instance isn't running");
      if (instance.status === "Frozen") throw new Refusal(500, "The container is already frozen");
      return "Frozen";
    case "unfreeze":
      if (instance.status === "Stopped") throw new Refusal(500, "The container isn't running");
      if (instance.status === "Running") throw new Refusal(500, "The container is already running");
      return "Running";
    default:
      return "Running";
  }
}

function started(state: State, instance: InstanceRecord): "Running" {
  const { status, config, project } = instance;
  if (config["security.protection.start"] === "true") throw new Refusal(500, "Instance is protected");
  if (status === "Running") throw new Refusal(500, "The instance is already running");
  const owner = projectWith(state, "features.storage.volumes", project);
  for (const [name, { type, pool, source }] of Object.entries(expandedDevices(state, instance))) {
    if (type !== "disk" || pool === undefined || source === undefined) continue;
    if (state.units.has(`${owner}/${pool}/${source}`)) continue;
    const why = "Failed loading custom volume: Storage volume not found";
    throw new Refusal(500, `Failed start validation for device "${name}": ${why}`);
  }
  return "Running";
}

function stopped({ status, ignoresStop }: InstanceRecord, force: boolean): "Stopped" {
  if (status === "Stopped") throw new Refusal(400, "The instance is already stopped");
  if (!ignoresStop || force) return "Stopped";
  throw new Refusal(500, 'Failed shutting down instance, status is "Running": context deadline exceeded');
}
