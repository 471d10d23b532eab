import type { Backup, BackupProgress } from "../model/archive.ts";
import { AgentError } from "../model/errors.ts";
import { SECOND_MS } from "../model/time.ts";
import type { Call, Client } from "./client.ts";
import { kopiaFailure } from "./failures.ts";
import { backupOf, Created, type Manifest, Manifests, parseOutput } from "./output.ts";
import { movementOfBackup, parseProgress } from "./progress.ts";

/** What Kopia has to save a checkpoint in, once it is told to end. */
const GRACE_MS = 25 * SECOND_MS;

/**
 * Makes a backup. Neither the exit code nor what Kopia prints proves that it is whole: both must be well, nothing left
 * out, and the backup in the repository's own list.
 */
export async function makeBackup(
  client: Client,
  call: Pick<Call, "args" | "doing" | "input">,
  onProgress: (progress: BackupProgress) => void,
  signal: AbortSignal,
): Promise<Backup> {
  const onErrorLine = (line: string) => {
    const progress = parseProgress(line);
    if (progress !== undefined) onProgress(progress);
  };
  const whole: Call = { ...call, onErrorLine, movementOf: movementOfBackup, graceMs: GRACE_MS };
  const { exitCode, stdout, stderr } = await client.attempt(whole, signal);
  if (stdout.trim() === "") throw kopiaFailure(stderr, call.doing);
  const created = parseOutput(Created, stdout, call.doing);
  refuseIncomplete(created, call.doing);
  if (exitCode !== 0) throw kopiaFailure(stderr, call.doing);
  const listed = await listAll(client, signal);
  if (!listed.some(({ id }) => id === created.id)) {
    throw new AgentError(
      "kopia.incomplete",
      `Cannot ${call.doing}: the new backup ${created.id} is not in the repository`,
    );
  }
  return backupOf(created);
}

/** The backups of all hosts, as the repository lists them. */
export async function listAll(client: Client, signal: AbortSignal): Promise<readonly Manifest[]> {
  const doing = "list the backups";
  return parseOutput(Manifests, await client.run({ args: ["snapshot", "list", "--json"], doing }, signal), doing);
}

function refuseIncomplete({ id, incomplete, rootEntry }: Manifest, doing: string): void {
  if (incomplete !== undefined) {
    throw new AgentError("kopia.incomplete", `Cannot ${doing}: it ended before its end (${incomplete})`, {
      hint: "the next run goes on from there",
    });
  }
  const failed = rootEntry?.summ?.numFailed ?? 0;
  if (failed === 0) return;
  const named = (rootEntry?.summ?.errors ?? []).map(({ path, error }) => `  ${path}: ${error}`);
  throw new AgentError(
    "kopia.incomplete",
    [`Cannot ${doing}: ${failed} entries could not be read; backup ${id} lacks them`, ...named].join("\n"),
  );
}
