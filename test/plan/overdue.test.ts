import { expect, test } from "vitest";
import type { Backup } from "../../src/model/archive.ts";
import type { BackUpStep, OffsiteOutcome, OffsitePlan } from "../../src/model/offsite-plan.ts";
import { DAY_MS } from "../../src/model/time.ts";
import { overdueSteps } from "../../src/plan/overdue.ts";

const NOW = Date.UTC(2026, 10, 20);
const STEP: BackUpStep = {
  kind: "back-up",
  id: "back-up:zfs:tank/a",
  needs: [],
  place: { read: "zfs", host: "source", root: undefined },
  subject: { kind: "dataset", dataset: "tank/a" },
  path: "/zfs/prod/tank/a",
  description: "tank/a",
  tags: { workload: "zfs:tank/a", host: "prod" },
};
const PLAN: OffsitePlan = { run: { owner: "iab@h", name: "r" }, at: NOW, steps: [STEP], skipped: [], warnings: [] };

function backup(daysAgo: number, more: { workload?: string; role?: string; state?: Backup["state"] } = {}): Backup {
  const { workload = "zfs:tank/a", role = "config", state = "complete" } = more;
  const at = NOW - daysAgo * DAY_MS;
  const sizes = { sizeBytes: 1, fileCount: 1, streamName: undefined };
  return {
    id: `b${daysAgo}`,
    at,
    endedAt: at,
    source: "s",
    description: "",
    tags: { workload, role, host: "prod" },
    ...sizes,
    state,
  };
}

const cases: { name: string; backups: Backup[]; state?: OffsiteOutcome["state"]; overdue: boolean }[] = [
  { name: "has a whole backup of this week", backups: [backup(30), backup(6)], overdue: false },
  { name: "has only older ones", backups: [backup(30), backup(8)], overdue: true },
  { name: "was reached", backups: [backup(8)], state: "done", overdue: false },
  {
    name: "has newer ones that are not whole",
    backups: [backup(8), backup(1, { state: "incomplete" })],
    overdue: true,
  },
  { name: "has newer parts without their record", backups: [backup(8), backup(1, { role: "files" })], overdue: true },
  { name: "has none, while others have had theirs for long", backups: [backup(9, { workload: "w" })], overdue: true },
  { name: "has none, since nothing is older than days", backups: [backup(2, { workload: "w" })], overdue: false },
  { name: "is to have the very first one", backups: [], overdue: false },
];
test.each(cases)("overdueSteps(): $overdue where a workload $name", ({ backups, state = "cancelled", overdue }) => {
  const outcomes = new Map([[STEP.id, { state } as OffsiteOutcome]]);
  expect(overdueSteps(PLAN, outcomes, backups, NOW)).toEqual(overdue ? [STEP] : []);
});
