import type { Copied, Copy, Progress } from "../model/copy.ts";
import type { Clock } from "../model/ports.ts";
import { type EpochMs, SECOND_MS } from "../model/time.ts";
import { awaitBoth, type Ends } from "./copy-ends.ts";
import { throwUnlessDone } from "./copy-outcome.ts";
import { type History, watchHistory } from "./history.ts";
import { heldHistory } from "./history-held.ts";
import { losesLastWord } from "./last-word.ts";
import { type Inspect, type Meter, pump } from "./relay-pump.ts";
import { openRelay } from "./relay-sockets.ts";
import type { Throttle } from "./throttle.ts";
import { type SizeWatch, watchSize } from "./watch-size.ts";

export type RelayOptions = {
  readonly clock: Clock;
  readonly onProgress: (progress: Progress) => void;
  readonly throttles: readonly Throttle[];
};

const TELL_EVERY_MS = SECOND_MS / 2;

/** How long an instance's target that is cut off from the data gets to say how it ended; not each one notices that it is. */
const LAST_WORD_MS = 5 * SECOND_MS;

/** The agent stands between the servers, which need not reach each other, and passes on what each says to the other. */
export async function relay(ends: Ends, copy: Copy, options: RelayOptions, signal: AbortSignal): Promise<Copied> {
  const { clock } = options;
  const refused = new AbortController();
  const over = new AbortController();
  const either = AbortSignal.any([signal, refused.signal]);
  const size = watchSize();
  const counter = openCounter({ ...options, totalBytes: size.totalBytes });
  const history = watchHistory({ ...copy, keep: await heldHistory(ends.target, copy, clock, signal) });
  const mute = await losesLastWord(copy, ends.target, signal);
  const { running, sockets } = await openRelay(ends, copy, clock, signal);
  const talk = overhear(history.control, size);
  const cut = AbortSignal.any([either, over.signal]);
  // A volume's target has nothing to say that its snapshots do not show.
  const isHeard = copy.kind === "instance";
  const control = { ...sockets.control, ...talk.inspects, meter: counter.meter };
  const passing = Promise.all(
    [
      pump({ ...sockets.fs, ...history.fs, meter: counter.meter }, cut),
      isHeard ? pump({ ...control, ending: either }, over.signal) : pump(control, cut),
    ].map((channel) => channel.catch((reason) => refused.abort(reason))),
  );
  const letGo = async () => {
    // Before the servers have agreed nothing is under way of which the target could say anything.
    if (talk.isAgreed())
      await Promise.race([passing, clock.sleep(LAST_WORD_MS, AbortSignal.timeout(2 * LAST_WORD_MS))]);
    over.abort();
  };
  try {
    const { movedAt, note: onTargetProgress } = counter;
    const watch = { clock, letGo, movedAt, onTargetProgress, losesLastWord: mute };
    const outcomes = await awaitBoth(ends, running, watch, either);
    await throwUnlessDone(ends, copy, outcomes, clock, signal);
    return { bytes: counter.bytes(), guids: Object.fromEntries(history.guids()) };
  } finally {
    over.abort();
    await passing;
  }
}

type Talk = { readonly inspects: History["control"]; isAgreed(): boolean };

/** What passes is what it was, and the watch has heard it. */
function overhear({ toTarget, toSource }: History["control"], size: SizeWatch): Talk {
  let isAgreed = false;
  const heard: Inspect = (frame) => {
    size.note(frame);
    const passed = toSource(frame);
    isAgreed = true;
    return passed;
  };
  return { inspects: { toTarget, toSource: heard }, isAgreed: () => isAgreed };
}

type Counter = {
  readonly meter: Meter;
  bytes(): number;
  movedAt(): EpochMs;
  /** Takes the name of what is on its way from what a server says of it. */
  note(said: Progress): void;
};

/** Counts what really passes, tells of it now and then, and holds it to its rate. */
function openCounter({
  clock,
  onProgress,
  throttles,
  totalBytes,
}: RelayOptions & Pick<SizeWatch, "totalBytes">): Counter {
  let bytes = 0;
  let what: string | undefined;
  let movedAt = clock.now();
  let told = { at: movedAt, bytes: 0 };
  const tell = () => {
    const sinceMs = movedAt - told.at;
    if (sinceMs < TELL_EVERY_MS) return;
    const bytesPerSecond = Math.round(((bytes - told.bytes) * SECOND_MS) / sinceMs);
    onProgress({ bytes, totalBytes: totalBytes(), bytesPerSecond, what });
    told = { at: movedAt, bytes };
  };
  return {
    meter(size) {
      if (size > 0) movedAt = clock.now();
      bytes += size;
      tell();
      return Math.max(...throttles.map((throttle) => throttle.pay(size)), 0);
    },
    bytes: () => bytes,
    movedAt: () => movedAt,
    note: (said) => {
      what = said.what;
    },
  };
}
