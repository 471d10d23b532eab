import { defineConfig } from "vitest/config";

// The lab's daemons and machines are shared by all files of a project, and slow: one file at a time, generous limits.
const againstTheLab = { fileParallelism: false, testTimeout: 300_000, hookTimeout: 300_000, maxWorkers: 1 };

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
      { test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], ...againstTheLab, testTimeout: 600_000 } },
      { test: { name: "zfs", include: ["test/zfs/**/*.test.ts"], ...againstTheLab, testTimeout: 3_600_000 } },
    ],
  },
});
