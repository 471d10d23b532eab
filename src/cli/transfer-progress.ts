import type { Progress } from "../model/copy.ts";
import { SECOND_MS } from "../model/time.ts";
import { sizeText } from "../render/amounts.ts";
import type { Context } from "./command.ts";

const LOG_EVERY_MS = 10 * SECOND_MS;
const DRAW_EVERY_MS = 100;

/** Shows how far one transfer is: in place on a terminal, else as a line of the log now and then. */
export function transferProgress(what: string, totalBytes: number, { world, globals }: Context) {
  const { clock, log, terminal } = world;
  const isSilent = globals.quiet || !globals.progress;
  const everyMs = terminal.stderrIsTerminal ? DRAW_EVERY_MS : LOG_EVERY_MS;
  let toldAt = clock.now();
  return {
    note: ({ bytes }: Progress) => {
      if (isSilent || clock.now() - toldAt < everyMs) return;
      toldAt = clock.now();
      const text = `${what}: ${sizeText(bytes)} of ${sizeText(totalBytes)}`;
      if (terminal.stderrIsTerminal) terminal.draw(text);
      else log.info("restore.progress", { what, bytes, totalBytes });
    },
    end: () => terminal.draw(""),
  };
}
