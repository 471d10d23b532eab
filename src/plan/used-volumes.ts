import type { Instance } from "../model/state.ts";
import type { VolumeUnit } from "../model/unit.ts";
import { type ServerIndex, servingProject } from "./index-state.ts";

/** The custom volumes that an instance has among its disks, those of its profiles too. */
export function usedVolumes({ project: own, expandedDevices }: Instance, server: ServerIndex): VolumeUnit[] {
  const project = servingProject(server, own, "ownVolumes");
  return Object.values(expandedDevices).flatMap(({ type, pool, source }) => {
    if (type !== "disk" || pool === undefined || source === undefined) return [];
    const [name = ""] = source.split("/");
    return [{ kind: "volume", project, pool, name } as const];
  });
}
