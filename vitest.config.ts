import { defineConfig } from "vitest/config";

// The lab's daemons and machines are shared by all files of a project, and slow: one file at a time, generous limits.
const againstTheLab = {
  fileParallelism: false,
  testTimeout: 300_000,
  hookTimeout: 300_000,
  maxWorkers: 1,
  // Kept history has six cases for each pair of servers, and much of their time is waiting.
  maxConcurrency: 6,
};

// Cuts and kills of real servers and runs take longer than all the rest: `make test-faults` runs them.
const FAULTS = [
  "test/e2e/cluster-faults.test.ts",
  "test/e2e/history-faults.test.ts",
  "test/e2e/kill.test.ts",
  "test/e2e/signals.test.ts",
  "test/e2e/shapes.test.ts",
  "test/e2e/offsite-run.test.ts",
  "test/e2e/offsite-btrfs.test.ts",
  "test/e2e/offsite-matrix-rest.test.ts",
  "test/e2e/late-success.test.ts",
];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/contract/**", "test/e2e/**", "test/lab/**", "test/zfs/**"],
          // Some hold many transfers over real sockets, and the machine may be crowded.
          testTimeout: 60_000,
        },
      },
      {
        test: { name: "contract", include: ["test/contract/**/*.test.ts", "test/lab/**/*.test.ts"], ...againstTheLab },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          exclude: FAULTS,
          ...againstTheLab,
          testTimeout: 600_000,
        },
      },
      { test: { name: "faults", include: FAULTS, ...againstTheLab, testTimeout: 600_000 } },
      { test: { name: "bench", include: ["bench/**/*.test.ts"], ...againstTheLab, testTimeout: 1_800_000 } },
      { test: { name: "zfs", include: ["test/zfs/**/*.test.ts"], ...againstTheLab, testTimeout: 3_600_000 } },
    ],
  },
});
