import type { BackupProgress } from "../model/archive.ts";

/** Kopia's spinner and what follows it: counts of files, sizes, and an estimate where there is one. */
const LINE = /^\s*[|/\\*-] (\d+ hashing, .*?uploaded [\d.]+ \S+?B?),? (?:estimating|estimated .*?\(([\d.]+)%\))/;

/** What a line of `snapshot create` on stderr tells of the progress; undefined for any other line. */
export function parseProgress(line: string): BackupProgress | undefined {
  const read = LINE.exec(line);
  if (read?.[1] === undefined) return undefined;
  return { text: read[1], percent: read[2] === undefined ? undefined : Number(read[2]) };
}

/** What changes whenever a backup gets on, and never because time goes by: the time that is left is not in it. */
export function movementOfBackup(line: string): string | undefined {
  const progress = parseProgress(line);
  return progress && `${progress.text} ${progress.percent}`;
}

/** The same for a restore (`Processed 8 (51.2 MB) of 8`) and for reading back (counters as JSON). */
export function movementOfReading(line: string): string | undefined {
  return /^\s*Processed \d+ \([^)]*\)/.exec(line)?.[0] ?? /^\s*\{.*\}\s*$/.exec(line)?.[0];
}
