import type { Subject } from "../../src/model/reading.ts";
import type { ContentType, InstanceType, Workload } from "../../src/model/state.ts";
import type { Unit } from "../../src/model/unit.ts";

/** A unit as a subject of reading, with what a reader looks at. */
export function subjectOf(
  unit: Unit,
  pool: string,
  driver: string,
  type: InstanceType | ContentType = unit.kind === "instance" ? "container" : "filesystem",
): Subject & { kind: "workload" } {
  const common = { config: {}, description: "", location: "", createdAt: 0, snapshots: [] };
  return { kind: "workload", workload: workloadOf(), pool: { name: pool, driver } };

  function workloadOf(): Workload {
    if (unit.kind === "volume") {
      const contentType = type === "block" || type === "iso" ? type : "filesystem";
      return { ...unit, ...common, contentType, usedBy: [] };
    }
    return {
      ...unit,
      ...common,
      type: type === "virtual-machine" ? type : "container",
      status: "Stopped",
      architecture: "x86_64",
      ephemeral: false,
      profiles: [],
      devices: {},
      expandedConfig: {},
      expandedDevices: {},
    };
  }
}
