import type { Policy, Rule, Simulation, Verdict } from "../model/policy.ts";
import { DAY_MS, type EpochMs, rfc3339, SECOND_MS } from "../model/time.ts";
import { agoText, countText, durationText } from "./amounts.ts";
import { type Column, type Format, listText, tableText } from "./table.ts";

/** A snapshot's verdict; the moment is undefined where all that is known is a name that is not ours. */
export type Explained = Omit<Verdict, "at"> & { readonly at: EpochMs | undefined };

/** What a policy says of each snapshot: for people with the policy in words, for programs the list alone. */
export function explainText(format: Format, policy: Policy, verdicts: readonly Explained[], now: EpochMs): string {
  const columns: Column<Explained>[] = [
    { title: "NAME", cell: ({ name }) => name },
    { title: "AGE", cell: ({ at }) => (at === undefined ? "" : agoText(at, now)), align: "right" },
    { title: "VERDICT", cell: ({ verdict }) => verdict },
    { title: "WHY", cell: ({ reasons }) => reasons.join(format === "table" ? "\n" : "; ") },
  ];
  const list = listText(format, columns, verdicts, verdicts.map(explainedData));
  return format === "table" ? `${policyText(policy)}\n${list}${totalText(verdicts)}\n` : list;
}

/** What a policy holds after a while, and on the way there. */
export function simulationText(format: Format, policy: Policy, walk: Simulation): string {
  const data = {
    policy: policy.text,
    from: rfc3339(walk.from),
    to: rfc3339(walk.to),
    everyMs: walk.everyMs,
    taken: walk.taken,
    most: walk.most,
    growth: walk.growth.map(({ at, count, oldestAt }) => ({ at: rfc3339(at), count, oldest: rfc3339(oldestAt) })),
    held: walk.held.map(explainedData),
  };
  const columns: Column<Verdict>[] = [
    { title: "NAME", cell: ({ name }) => name },
    { title: "AGE", cell: ({ at }) => agoText(at, walk.to), align: "right" },
    { title: "WHY", cell: ({ reasons }) => reasons.join(", ") },
  ];
  const list = listText(format, columns, walk.held, data);
  return format === "table" ? [policyText(policy), walkText(walk), growthText(walk), list].join("\n") : list;
}

function walkText({ everyMs, from, to, taken, held, most }: Simulation): string {
  const pace = `One snapshot every ${durationText(everyMs)} for ${durationText(to - from)}`;
  return `${pace}: ${taken} taken, ${held.length} held at the end, never more than ${most}.\n`;
}

function growthText({ growth, from }: Simulation): string {
  return tableText(
    [
      { title: "AFTER", cell: ({ at }) => durationText(at - from), align: "right" },
      { title: "HELD", cell: ({ count }) => String(count), align: "right" },
      { title: "OLDEST", cell: ({ at, oldestAt }) => agoText(oldestAt, at), align: "right" },
    ],
    growth,
  );
}

function explainedData({ name, at, verdict, reasons }: Explained): object {
  return { name, at: at === undefined ? null : rfc3339(at), verdict, reasons };
}

/** A policy in words, one line for each of its parts. */
function policyText({ text, keepNewest, rules }: Policy): string {
  if (text === "") return "No policy: nothing is ever removed.\n";
  const count: [string, string][] =
    keepNewest > 0 ? [[String(keepNewest), `keeps the newest ${keepNewest}, whatever the age`]] : [];
  const parts = [...count, ...rules.map((rule): [string, string] => [rule.text, ruleText(rule)])];
  const width = Math.max(...parts.map(([part]) => part.length));
  return [
    "A snapshot is kept if any part of the policy keeps it:",
    ...parts.map(([part, words]) => `  ${part.padEnd(width)}  ${words}`),
    "",
  ].join("\n");
}

function ruleText({ periodMs, ttlMs }: Rule): string {
  return `keeps the newest of every ${spanText(periodMs)}, for ${spanText(ttlMs).replace(/^\D/, "one $&")}`;
}

const NAMES: readonly (readonly [number, string])[] = [
  [365 * DAY_MS, "year"],
  [30 * DAY_MS, "month"],
  [7 * DAY_MS, "week"],
  [DAY_MS, "day"],
  [DAY_MS / 24, "hour"],
  [DAY_MS / 24 / 60, "minute"],
  [SECOND_MS, "second"],
];

/** In the largest unit that fits evenly: `2 days`; a single one is `hour`. */
function spanText(spanMs: number): string {
  const [unitMs, name] = NAMES.find(([one]) => spanMs % one === 0) ?? [SECOND_MS, "second"];
  return spanMs === unitMs ? name : countText(spanMs / unitMs, name);
}

function totalText(verdicts: readonly Explained[]): string {
  const count = (verdict: Verdict["verdict"]) => verdicts.filter((one) => one.verdict === verdict).length;
  const foreign = count("unmanaged");
  return `${count("keep")} kept, ${count("remove")} removed${foreign === 0 ? "" : `, ${foreign} not ours`}`;
}
