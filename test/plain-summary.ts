import { writeFileSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

/**
 * Ends the output with what failed, a line each, and one plain line of counts; both are left in the file that `IAB_COUNTS`
 * names, for a sum of several runs. Under CI a skipped test is a failure: it proves nothing.
 */
// biome-ignore lint/style/noDefaultExport: vitest loads a reporter by its default export
export default class PlainSummary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const count = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) count[test.result().state] += 1;
    }
    const setUps = modules.flatMap(brokenSetUps);
    const failed = count.failed + setUps.length;
    const skipped = count.skipped + count.pending;
    const counts = `${count.passed} passed, ${failed} failed, ${skipped} skipped`;
    const lines = [...modules.flatMap(failedTests), ...setUps, counts, ""].join("\n");
    process.stdout.write(`\n${lines}`);
    const file = process.env["IAB_COUNTS"];
    if (file !== undefined) writeFileSync(file, lines);
    if (process.env["CI"] === "true" && skipped > 0) process.exitCode = 1;
  }
}

function failedTests(module: TestModule): string[] {
  return [...module.children.allTests("failed")].map((test) =>
    failure(`${module.relativeModuleId}: ${test.fullName}`, test.result().errors?.[0]),
  );
}

/** Files that could not be loaded, and what comes before or after a suite's tests. */
function brokenSetUps(module: TestModule): string[] {
  const suites = [...module.children.allSuites()].filter((suite) => suite.errors().length > 0);
  return [
    ...(module.errors().length > 0 ? [failure(module.relativeModuleId, module.errors()[0])] : []),
    ...suites.map((suite) => failure(`${module.relativeModuleId}: ${suite.fullName}`, suite.errors()[0])),
  ];
}

function failure(where: string, error: { readonly message: string } | undefined): string {
  return `FAILED ${where}: ${error?.message.split("\n", 1)[0]?.slice(0, 300) ?? "no reason given"}`;
}
