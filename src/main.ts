import { runCli } from "./cli/run-cli.ts";
import { systemClock } from "./system/clock.ts";
import { openConsole } from "./system/console.ts";
import { systemFiles } from "./system/files.ts";
import { systemLocks } from "./system/lock.ts";
import { openLog } from "./system/log.ts";
import { systemProcesses } from "./system/processes.ts";
import { openTerminal } from "./system/terminal.ts";

const { stdin, stdout, stderr, env } = process;
const ending = new AbortController();
const out = openConsole(stdout, stderr);
const terminal = openTerminal({ stdin, stdout, stderr }, out);

// The first signal ends the work in good order; a second one ends the process.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    if (ending.signal.aborted) {
      out.printError(`iab: ended at once by a second ${signal}: the next run puts right what is left`);
      process.exit(signal === "SIGINT" ? 130 : 143);
    }
    out.printError(`iab: ${signal}: ending in good order; a second signal ends it at once`);
    ending.abort(signal);
  });
}
// Whoever reads our output may have enough of it: `iab plan | head`.
for (const stream of [stdout, stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

const exitCode = await runCli(process.argv.slice(2), {
  print: out.print,
  printError: out.printError,
  // Loaded on demand: what speaks to servers takes longer to start than all the rest.
  connect: async (config, path, world) => (await import("./cli/connect.ts")).connect(config, path, world),
  openHost: async (...given) => (await import("./cli/open-host.ts")).openHost(...given),
  open: ({ level, format }) => ({
    clock: systemClock,
    files: systemFiles,
    locks: systemLocks,
    processes: systemProcesses(),
    log: openLog({ level, ...prettyness(format) }, out.printError),
    terminal,
    environment: env,
    print: out.print,
    signal: ending.signal,
  }),
});
stdout.write("", () => stderr.write("", () => process.exit(exitCode)));

function prettyness(format: "auto" | "json" | "pretty") {
  const dumb = (env["NO_COLOR"] ?? "") !== "" || env["TERM"] === "dumb";
  return { pretty: format === "pretty" || (format === "auto" && stderr.isTTY), colour: stderr.isTTY && !dumb };
}
