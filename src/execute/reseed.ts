import type { Progress } from "../model/copy.ts";
import { AgentError } from "../model/errors.ts";
import type { ReseedStep } from "../model/plan.ts";
import type { Server } from "../model/ports.ts";
import type { Devices } from "../model/state.ts";
import { MINUTE_MS } from "../model/time.ts";
import type { InstanceUnit, VolumeUnit } from "../model/unit.ts";
import { unitLabel } from "../model/unit.ts";
import type { Tools } from "./act-on.ts";
import type { Done } from "./execute-plan.ts";
import { noteOnReplica } from "./note-on-replica.ts";
import { prove } from "./prove.ts";
import { transfer } from "./transfer.ts";
import { withTotal } from "./with-total.ts";

const REPLACE_DEADLINE_MS = 5 * MINUTE_MS;

/** Makes a fresh copy beside the old replica and proves it; only then the old one gives way, and goes last. */
export async function reseed(
  step: ReseedStep,
  tools: Tools,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Done> {
  const { source, target } = tools.servers;
  const tell = await withTotal(step.copy.source, source, onProgress, signal);
  const { bytes } = await transfer(step.copy, tools, tell, signal);
  await prove(step.copy, step.proof, tools.servers, signal);
  await noteOnReplica(step.copy, target, step.marks, signal);
  signal.throwIfAborted();
  // From here on it goes through to the end: between the two names there is no replica.
  await replace(step, target, AbortSignal.timeout(REPLACE_DEADLINE_MS));
  return { bytes };
}

async function replace(step: ReseedStep, target: Server, deadline: AbortSignal): Promise<void> {
  const old = step.replaces;
  const aside = { ...old, name: step.aside };
  const users = old.kind === "volume" ? await usersOf(old, target, deadline) : [];
  await target.rename(old, aside.name, deadline);
  const [renamed] = await Promise.allSettled([target.rename(step.copy.target, old.name, deadline)]);
  if (renamed.status === "rejected") {
    await target.rename(aside, old.name, deadline);
    throw notReplaced(step, renamed.reason);
  }
  // The users of a volume have followed the old one to its new name.
  for (const user of users) await target.patchDevices(user.unit, user.devices, deadline);
  if (!step.keeps) await target.remove(aside, deadline);
}

type User = { readonly unit: InstanceUnit; readonly devices: Devices };

// Each instance that has the volume among its own devices, with those devices as they are before it is renamed.
async function usersOf(volume: VolumeUnit, target: Server, signal: AbortSignal): Promise<User[]> {
  const volumes = await target.volumes([volume.pool], signal);
  const found = volumes.find(({ project, name }) => project === volume.project && name === volume.name);
  const instances = await Promise.all((found?.usedBy ?? []).map((unit) => target.instance(unit, signal)));
  return instances.flatMap((instance) => {
    if (instance === undefined) return [];
    const devices = Object.entries(instance.devices).filter(
      ([, { type, pool, source }]) => type === "disk" && pool === volume.pool && source === volume.name,
    );
    return devices.length === 0 ? [] : [{ unit: instance, devices: Object.fromEntries(devices) }];
  });
}

function notReplaced(step: ReseedStep, cause: unknown): AgentError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const message = `Cannot give ${unitLabel(step.copy.target)} the name of ${unitLabel(step.replaces)}: ${why}`;
  return new AgentError("incus.operation-failed", message, { cause, hint: "the old replica is back in its place" });
}
