import { defineConfig } from "vitest/config";

// The lab's daemons and machines are shared by all files of a project, and slow: one file at a time, generous limits.
const againstTheLab = { fileParallelism: false, testTimeout: 300_000, hookTimeout: 300_000, maxWorkers: 1 };

// Forty cuts on real servers take longer than all the rest of a generation: `make test-history` runs them.
const FAULTS_OF_HISTORY = "test/e2e/history-faults.test.ts";

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/contract/**", "test/e2e/**", "test/lab/**", "test/zfs/**"],
          testTimeout: 20_000,
        },
      },
      {
        test: { name: "contract", include: ["test/contract/**/*.test.ts", "test/lab/**/*.test.ts"], ...againstTheLab },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          exclude: [FAULTS_OF_HISTORY],
          ...againstTheLab,
          testTimeout: 600_000,
        },
      },
      { test: { name: "history", include: [FAULTS_OF_HISTORY], ...againstTheLab, testTimeout: 600_000 } },
      { test: { name: "bench", include: ["bench/**/*.test.ts"], ...againstTheLab, testTimeout: 1_800_000 } },
      { test: { name: "zfs", include: ["test/zfs/**/*.test.ts"], ...againstTheLab, testTimeout: 3_600_000 } },
    ],
  },
});
