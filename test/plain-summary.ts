import { writeFileSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

/**
 * Ends the output with one plain line of counts, and leaves them in the file that `IAB_COUNTS` names, for a sum of several
 * runs. Under CI a skipped test is a failure: it proves nothing.
 */
// biome-ignore lint/style/noDefaultExport: vitest loads a reporter by its default export
export default class PlainSummary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const count = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) count[test.result().state] += 1;
      if (module.errors().length > 0) count.failed += 1;
    }
    const skipped = count.skipped + count.pending;
    const line = `${count.passed} passed, ${count.failed} failed, ${skipped} skipped\n`;
    process.stdout.write(`\n${line}`);
    const file = process.env["IAB_COUNTS"];
    if (file !== undefined) writeFileSync(file, line);
    if (process.env["CI"] === "true" && skipped > 0) process.exitCode = 1;
  }
}
