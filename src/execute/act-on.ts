import type { Clock, Log, Servers } from "../model/ports.ts";
import { copyAndProve } from "./copy.ts";
import type { Act } from "./execute-plan.ts";
import { prune } from "./prune.ts";
import { rehearse } from "./rehearse.ts";
import { reseed } from "./reseed.ts";
import { takeSnapshot } from "./snapshot.ts";
import { startAgain } from "./start-again.ts";

/** What the handlers of steps work with. */
export type Tools = {
  readonly servers: Servers;
  readonly clock: Clock;
  readonly log: Log;
  /** The name of this run. */
  readonly run: string;
};

/** Which handler carries out which kind of step. They carry out and never decide. */
export function actOn(tools: Tools): Act {
  const { source, target } = tools.servers;
  return async (step, onProgress, signal) => {
    switch (step.kind) {
      case "rehearse":
        return rehearse(step, tools.servers, onProgress, signal);
      case "recover":
        await startAgain(step.unit, { ...tools, server: source }, signal);
        return {};
      case "snapshot":
        await takeSnapshot(step, tools, signal);
        return {};
      case "rename":
        await target.rename(step.unit, step.name, signal);
        return {};
      case "grow":
        if (step.unit.kind === "volume") await target.patchConfig(step.unit, { size: step.size }, signal);
        else await target.patchDevices(step.unit, step.devices, signal);
        return {};
      case "adopt":
        if (step.lasting !== undefined) await target.makeLasting(step.lasting, signal);
        await target.patchConfig(step.unit, step.marks, signal);
        return {};
      case "stand-in":
        await target.createProfile(step.profile, signal);
        return {};
      case "mend":
        await tools.servers.mend(step.copy, step.names, signal);
        return {};
      case "copy":
        return copyAndProve(step, tools, onProgress, signal);
      case "prune":
        return prune(step, { source, target }, signal);
      case "reseed":
        return reseed(step, tools, onProgress, signal);
    }
  };
}
