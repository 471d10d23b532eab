import { expect, test } from "vitest";
import type { Backup } from "../../src/model/archive.ts";
import { archiveStatusText, backupsText, verifiedText } from "../../src/render/offsite-text.ts";

const NOW = Date.UTC(2026, 10, 20, 4);

function backup(id: string, hoursAgo: number, more: Partial<Backup> = {}): Backup {
  const at = NOW - hoursAgo * 3_600_000;
  return {
    id,
    at: at + 123,
    endedAt: at + 60_000,
    sizeBytes: 3 * 1024 * 1024,
    fileCount: 7,
    source: "iab@host1:/volumes/v1",
    description: "a disk",
    tags: { kind: "block" },
    streamName: undefined,
    state: "complete",
    ...more,
  };
}

test("backupsText() lists backups for people and for programs", () => {
  expect(backupsText("csv", [backup("0a", 2)])).toBe(
    "0a,2026-11-20T02:00:00Z,3MiB,iab@host1:/volumes/v1,a disk,complete\n",
  );
  expect(JSON.parse(backupsText("json", [backup("0a", 2)]))).toEqual([
    {
      id: "0a",
      time: "2026-11-20T02:00:00.123Z",
      end: "2026-11-20T02:01:00Z",
      size: 3_145_728,
      source: "iab@host1:/volumes/v1",
      description: "a disk",
      files: 7,
      tags: { kind: "block" },
      state: "complete",
    },
  ]);
});

test("archiveStatusText() speaks IncusOS's words, and offers complete backups only", () => {
  const backups = [backup("0a", 5), backup("0b", 2, { state: "incomplete" })];
  expect(JSON.parse(archiveStatusText("json", { backups, trouble: undefined, running: undefined }, NOW))).toEqual({
    repository_connected: true,
    last_backup: "2026-11-19T23:00:00.123Z",
    last_status: "incomplete: the last backup was ended before its end",
    in_progress: false,
    progress: 0,
    available_snapshots: [
      {
        id: "0a",
        time: "2026-11-19T23:00:00.123Z",
        size: 3_145_728,
        source: "iab@host1:/volumes/v1",
        description: "a disk",
      },
    ],
  });
  expect(archiveStatusText("table", { backups, trouble: undefined, running: undefined }, NOW)).toBe(
    "Repository:  open\nLast backup: 4h 59m ago, iab@host1:/volumes/v1 (3MiB)\nLast status: incomplete: the last backup was ended before its end\nAvailable:   1 backup\n",
  );
});

test("archiveStatusText() tells of a run that is at work", () => {
  const status = { backups: [], trouble: undefined, running: { percent: 41 } };
  expect(JSON.parse(archiveStatusText("json", status, NOW))).toMatchObject({ in_progress: true, progress: 41 });
  expect(archiveStatusText("table", status, NOW)).toContain("At work:     a run, 41 % done\n");
  expect(archiveStatusText("csv", status, NOW)).toBe("true,,no backup yet,41,0\n");
});

const statuses: { name: string; status: Parameters<typeof archiveStatusText>[1]; csv: string }[] = [
  {
    name: "nothing yet",
    status: { backups: [], trouble: undefined, running: undefined },
    csv: "true,,no backup yet,,0\n",
  },
  {
    name: "a repository that does not open",
    status: { backups: undefined, trouble: "Cannot open it", running: undefined },
    csv: "false,,Cannot open it,,0\n",
  },
  {
    name: "a damaged backup",
    status: { backups: [backup("0a", 1, { state: "damaged" })], trouble: undefined, running: undefined },
    csv: "true,,failed: something could not be read for the last backup,,0\n",
  },
];
test.each(statuses)("archiveStatusText() tells of $name", ({ status, csv }) => {
  expect(archiveStatusText("csv", status, NOW)).toBe(csv);
});

test("verifiedText() says what was read", () => {
  const verified = { backups: 2, objects: 12, filesRead: 1, bytesRead: 2048 };
  expect(verifiedText("table", verified)).toBe("2 backups verified: 12 objects in place, 1 file (2KiB) read back\n");
  expect(JSON.parse(verifiedText("json", verified))).toEqual(verified);
});
