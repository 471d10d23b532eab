import { EXIT, EXIT_BY_CODE } from "./cli/exit.ts";
import { program } from "./cli/program.ts";
import { AgentError } from "./model/errors.ts";

try {
  await program().parseAsync(process.argv);
} catch (error) {
  const code = error instanceof AgentError ? EXIT_BY_CODE[error.code] : EXIT.bug;
  process.stderr.write(`${error instanceof AgentError ? error.message : String(error)}\n`);
  process.exitCode = code;
}
