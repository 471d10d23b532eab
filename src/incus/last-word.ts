import type { Copy } from "../model/copy.ts";
import type { Clock } from "../model/ports.ts";
import { SECOND_MS } from "../model/time.ts";
import type { End } from "./copy-ends.ts";
import type { Ended } from "./operations.ts";

/**
 * A volume's target of Incus before 6.0.5 and 6.13 allows itself 30 s, from its answer to the source's offer, for all that
 * it writes on the control connection. When the data take longer, its last word, that all is well, is never sent, and
 * nobody notices: the target's operation is a success. A source that it has dialled waits for the word until one of the
 * two servers is started anew; any other sees the connection end without it, and takes that for a failure.
 */
const SPEAKS_FOR_MS = 30 * SECOND_MS;

/** A source that was told ends at once. */
const HEARS_WITHIN_MS = 10 * SECOND_MS;

/** What the source cannot know, the objects have to tell. */
export const UNTOLD: Ended = {
  state: "unknown",
  why: "it was not told how it ended, because Incus before 6.0.5 and 6.13 loses a volume's last word after 30 s",
};

/** How a source fails that does no more than wait for the last word. In the midst of its data it has more to say. */
const CUT_OFF =
  /^(websocket: close 1\d{3} \([a-z ]+\).*|local error: tls: bad record MAC|.*: connection reset by peer|(unexpected )?EOF)$/;

/** Whether the target is one that may lose its last word about this copy. */
export async function losesLastWord({ kind }: Copy, target: End, signal: AbortSignal): Promise<boolean> {
  return kind === "volume" && !(await target.facts(signal)).can.tellLateSuccess;
}

/** Whether the source has failed for want of the last word, and of nothing else. */
export function isUntold(source: Ended): boolean {
  return source.state === "failure" && !source.cancelled && CUT_OFF.test(source.reason);
}

/** Follows whether a target could still say its last word, from the moment at which both operations have begun. */
export type LastWord = {
  targetEnded(ended: Ended, signal: AbortSignal): void;
  /** The target is done, and can have told nobody. */
  isLost(): boolean;
  /** Comes true when a source that was to hear of it had the time to, and still runs. */
  readonly missed: Promise<Ended>;
};

export function watchLastWord(mayLose: boolean, clock: Clock): LastWord {
  const beganAt = clock.now();
  let lost = false;
  let tellMissed = (_: Ended): void => {};
  const missed = new Promise<Ended>((resolve) => {
    tellMissed = resolve;
  });
  return {
    targetEnded(ended, signal) {
      lost = mayLose && ended.state === "success" && clock.now() - beganAt > SPEAKS_FOR_MS;
      if (!lost) return;
      void clock.sleep(HEARS_WITHIN_MS, signal).then(
        () => tellMissed(UNTOLD),
        () => {},
      );
    },
    isLost: () => lost,
    missed,
  };
}
