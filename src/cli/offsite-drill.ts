import { backupContent } from "../export/backup-content.ts";
import { drill } from "../export/drill.ts";
import { refuseWithoutRoom } from "../export/room-for.ts";
import type { Backup } from "../model/archive.ts";
import { AgentError } from "../model/errors.ts";
import type { Side } from "../model/job.ts";
import { sizeText } from "../render/amounts.ts";
import type { Context } from "./command.ts";
import { EXIT } from "./exit.ts";
import { poolFor, withServerOf } from "./offsite-restore-incus.ts";
import { transferProgress } from "./transfer-progress.ts";
import { withArchive } from "./with-archive.ts";

export type DrillFlags = {
  readonly server: Side | undefined;
  readonly pool: string | undefined;
  readonly ignoreSpace: boolean;
};

/** `iab offsite verify --drill WORKLOAD`: the newest backup is made a workload again, compared, and removed. */
export async function drillOf(
  typed: string,
  { server: side, pool, ignoreSpace }: DrillFlags,
  context: Context,
): Promise<number> {
  const { world } = context;
  const { signal, clock } = world;
  return withArchive(context, async (archive) => {
    const backups = await archive.list(signal);
    const backup = newestOf(backups, typed);
    return withServerOf(backup, side, context, async (server) => {
      const content = await backupContent(archive, backups, backup, signal);
      const into = await poolFor(server, pool ?? content.record.pool.name, signal);
      if (!ignoreSpace) {
        await refuseWithoutRoom(server, { pool: into.name, sizeBytes: content.sizeBytes, what: typed }, signal);
      }
      const project = backup.tags["project"] ?? "default";
      const progress = transferProgress(`restoring ${typed}`, content.sizeBytes, context);
      try {
        const found = await drill({ server, clock, content, project, pool: into, onProgress: progress.note }, signal);
        world.log.info("drill.ended", { id: backup.id, workload: typed, ...found });
        const { entries, bytes } = found;
        world.print(
          `Restored ${typed} from ${backup.id}, and compared it: ${entries} entries, ${sizeText(bytes)}, no difference.`,
        );
      } finally {
        progress.end();
      }
      return EXIT.ok;
    });
  });
}

/** The newest whole backup of a workload, named as in the list or without its default project. */
function newestOf(backups: readonly Backup[], typed: string): Backup {
  const isOf = ({ tags, state }: Backup) =>
    state === "complete" && tags["role"] === "config" && [typed, `default/${typed}`].includes(tags["workload"] ?? "");
  const newest = backups.filter(isOf).at(-1);
  if (newest !== undefined) return newest;
  throw new AgentError("kopia.not-found", `Cannot find a whole backup of ${typed}`, {
    hint: "iab offsite list shows what there is; name it as there, under WORKLOAD",
  });
}
