import type { Copy } from "../model/copy.ts";
import { exchangeLists, type Guids } from "./history-lists.ts";
import { type Agreement, type CompletedOffer, checkAnswer, completeOffer, refusal } from "./history-offer.ts";
import { isFailureMessage } from "./migration-header.ts";
import { type Inspect, passOn } from "./relay-pump.ts";

type Inspects = { readonly toTarget: Inspect; readonly toSource: Inspect };

/** What a relay does to the messages of each channel, so that the target keeps what the source has forgotten. */
export type History = {
  readonly control: Inspects;
  readonly fs: Inspects;
  /** On ZFS, the GUIDs that were seen: those of the source's snapshots and those of the target's. */
  guids(): Guids;
};

const UNTOUCHED: Inspects = { toTarget: passOn, toSource: passOn };

/** For a plain mirror nothing is looked at; where the plan says what is sent, the servers are held to it. */
export function watchHistory(copy: Copy): History {
  if (copy.keep.length === 0 && copy.sends === undefined) {
    return { control: UNTOUCHED, fs: UNTOUCHED, guids: () => new Map() };
  }
  let completed: CompletedOffer | undefined;
  let agreement: Agreement | undefined;
  const lists = exchangeLists(copy, () => {
    if (agreement === undefined) throw refusal(copy, "data came before the servers had agreed on it", EARLY);
    return agreement;
  });
  return {
    control: {
      toTarget: firstOf((data) => {
        completed = completeOffer(copy, data);
        return completed.bytes;
      }),
      toSource: firstOf((data) => {
        if (completed === undefined) throw refusal(copy, "the target answered before it was offered anything", EARLY);
        agreement = checkAnswer(copy, completed, data);
        return data;
      }),
    },
    fs: lists,
    guids: lists.guids,
  };
}

const EARLY = "This version of Incus works in a way this agent was not made for: see docs/history.md";

/** Looks at the first message only: what follows, or comes in its place, is the servers' word on how it went. */
function firstOf(look: (data: Buffer) => Buffer): Inspect {
  let isFirst = true;
  return (frame) => {
    if (!isFirst || isFailureMessage(frame.data)) return [frame];
    isFirst = false;
    return [{ data: look(frame.data), isBinary: frame.isBinary }];
  };
}
