import type { WriteStream } from "node:tty";

/** Writes whole lines to a stream. */
export type WriteLine = (text: string) => void;

/** stdout and stderr of this process, with one line that is drawn in place below what is written. */
export type Console = {
  readonly print: WriteLine;
  readonly printError: WriteLine;
  readonly draw: (line: string) => void;
};

type Stream = Pick<WriteStream, "write" | "columns" | "isTTY">;

const CLEAR_LINE = "\r\u001b[2K";

/** Both streams share a terminal: whatever is written takes the drawn line away first and puts it back below. */
export function openConsole(stdout: Stream, stderr: Stream): Console {
  let drawn = "";
  const writeTo = (stream: Stream) => (text: string) => {
    if (drawn !== "") stderr.write(CLEAR_LINE);
    stream.write(text.endsWith("\n") ? text : `${text}\n`);
    if (drawn !== "") stderr.write(drawn);
  };
  return {
    print: writeTo(stdout),
    printError: writeTo(stderr),
    draw: (line) => {
      if (!stderr.isTTY) return;
      if (drawn !== "") stderr.write(CLEAR_LINE);
      drawn = line.slice(0, Math.max(0, (stderr.columns || 80) - 1));
      if (drawn !== "") stderr.write(drawn);
    },
  };
}
