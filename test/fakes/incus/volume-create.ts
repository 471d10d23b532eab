import { z } from "zod";
import { importVolume } from "./backup-routes.ts";
import type { Context } from "./host.ts";
import { contentOf } from "./instance-create.ts";
import { receiveVolume } from "./migrate-routes.ts";
import { Refusal, type Reply, sync } from "./reply.ts";
import { memberFor, poolOf } from "./server-routes.ts";
import type { VolumeRecord } from "./state.ts";
import { addRecord } from "./state.ts";
import { requireProject } from "./trust.ts";
import { volumeProject, volumeUrl } from "./volume-routes.ts";
import { startWork } from "./work.ts";

export const NewVolume = z.object({
  name: z.string().default(""),
  type: z.string().default("custom"),
  content_type: z.enum(["", "filesystem", "block", "iso"]).default("filesystem"),
  config: z.record(z.string(), z.string()).nullish(),
  description: z.string().default(""),
  source: z
    .looseObject({ type: z.string().default(""), name: z.string().default(""), pool: z.string().default("") })
    .nullish(),
});
export type NewVolume = z.infer<typeof NewVolume>;

/** `POST …/volumes/custom`: empty, as a copy of a volume or snapshot of this server, or from another one. */
export function createVolume(context: Context): Reply {
  if (context.headers["content-type"] === "application/octet-stream") return importVolume(context);
  const { host } = context;
  requireProject(context.caller, host.state, context.project);
  const asked = context.json(NewVolume);
  if (asked.source?.type === "migration") return receiveVolume(context, asked);
  const volume = newVolume(context, asked);
  const exists = host.state.units.has(`${volume.project}/${volume.pool}/${volume.name}`);
  if (exists) throw new Refusal(409, "Volume by that name already exists");
  const { type = "" } = asked.source ?? {};
  if (type === "copy") return createCopy(context, asked, volume);
  if (type !== "" && type !== "none") throw new Refusal(400, `Unknown source type "${type}"`);
  addRecord(host.state, volume);
  host.events.lifecycle(volume.project, "storage-volume-created", volumeUrl(volume));
  return sync({});
}

function createCopy(context: Context, asked: NewVolume, volume: VolumeRecord): Reply {
  const { host } = context;
  const [name = "", snapshot] = asked.source?.name.split("/") ?? [];
  const source = host.state.units.get(`${volume.project}/${asked.source?.pool}/${name}`);
  if (source?.kind !== "volume") throw new Refusal(404, "Storage volume not found");
  const content = snapshot === undefined ? source.content : contentOf(source, snapshot);
  return startWork(context, {
    description: "Copying storage volume",
    project: volume.project,
    resources: { storage_volumes: [volumeUrl(volume)] },
    work: () => {
      addRecord(host.state, { ...volume, content });
      host.events.lifecycle(volume.project, "storage-volume-created", volumeUrl(volume));
    },
  });
}

/** Checks a new volume's name, and makes its record. */
export function newVolume(context: Context, asked: NewVolume): VolumeRecord {
  const { host } = context;
  if (asked.name.includes("/")) {
    throw new Refusal(
      400,
      host.generation.strictSnapshotNames
        ? 'Invalid storage volume name: Name contains invalid character "/"'
        : "Storage volume names may not contain slashes",
    );
  }
  const isAlone = host.members.length === 0;
  if (isAlone && context.query.has("target")) throw new Refusal(404, "Cluster member not found");
  return {
    kind: "volume",
    location: memberFor(context),
    project: volumeProject(context),
    pool: poolOf(context).name,
    name: asked.name,
    contentType: asked.content_type === "" ? "filesystem" : asked.content_type,
    description: asked.description,
    config: configOf(asked),
    createdAt: host.now(),
    snapshots: [],
    datasets: [],
    backups: [],
    content: Buffer.alloc(0),
  };
}

/** A block volume's size is kept in plain bytes. */
function configOf({ config, content_type }: NewVolume): Record<string, string> {
  const size = bytesOfSize(config?.["size"] ?? "");
  return content_type === "block" && size !== undefined ? { ...config, size: String(size) } : { ...config };
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];
const BINARY_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** The bytes of a size as Incus writes it (`10GiB`, `5MB`, `123`); undefined where it is none. */
export function bytesOfSize(text: string): number | undefined {
  const [, digits = "", unit = "B"] = /^(\d+)([kMGT]B|[KMGT]iB|B)?$/.exec(text) ?? [];
  if (digits === "") return undefined;
  const binary = BINARY_UNITS.indexOf(unit);
  return Number(digits) * (binary > 0 ? 1024 ** binary : 1000 ** Math.max(0, UNITS.indexOf(unit)));
}
