import type { InstanceCopy, VolumeCopy } from "../../src/model/copy.ts";

/** A copy of the instance `web1`, changed as a test needs it. */
export function instanceCopy(changes: Partial<InstanceCopy> = {}): InstanceCopy {
  return {
    kind: "instance",
    mode: "pull",
    source: { kind: "instance", project: "default", name: "web1" },
    target: { kind: "instance", project: "backup", name: "web1-replica" },
    member: undefined,
    allowInconsistent: false,
    keep: [],
    sends: undefined,
    bytesPerSecond: undefined,
    create: {
      type: "container",
      architecture: "x86_64",
      description: "the front",
      config: { "boot.autostart": "false", "volatile.base_image": "abc123" },
      devices: { root: { type: "disk", path: "/", pool: "tank" } },
      profiles: ["default"],
    },
    ...changes,
  };
}

/** A copy of the volume `data` in the pool `local`, changed as a test needs it. */
export function volumeCopy(changes: Partial<VolumeCopy> = {}): VolumeCopy {
  return {
    kind: "volume",
    mode: "pull",
    source: { kind: "volume", project: "default", pool: "local", name: "data" },
    target: { kind: "volume", project: "default", pool: "tank", name: "data" },
    member: undefined,
    allowInconsistent: false,
    keep: [],
    sends: undefined,
    bytesPerSecond: undefined,
    create: { contentType: "block", description: "", config: { size: "67108864" } },
    ...changes,
  };
}
