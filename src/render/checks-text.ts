import type { Check, CheckState } from "../model/check.ts";
import { type EpochMs, rfc3339 } from "../model/time.ts";
import { countText } from "./amounts.ts";
import { hanging, type Look, type Paint, paint } from "./look.ts";
import { type Column, csvText, tableText } from "./table.ts";

/** What was looked at, and when. */
export type Examination = { readonly at: EpochMs; readonly exitCode: number; readonly checks: readonly Check[] };

const COLOURS: Readonly<Record<CheckState, Paint>> = { ok: "green", warning: "yellow", failed: "red", unknown: "dim" };

/** What is left of a line for the findings, beside the other columns; no narrower than can be read. */
const NARROWEST = 40;
const BESIDE = 70;

/** All checks as a table, each with its remedy below what was found, and what it comes to. */
export function checksText({ checks }: Examination, look: Look): string {
  const width = Math.max(look.width - BESIDE, NARROWEST);
  const found = ({ text, remedy }: Check) => [
    ...hanging("", text, { ...look, width }),
    ...(remedy === undefined ? [] : hanging("> ", remedy, { ...look, width })),
  ];
  const columns: Column<Check>[] = [
    { title: "CHECK", cell: ({ check }) => check },
    { title: "OF", cell: ({ subject }) => subject },
    { title: "STATE", cell: ({ state }) => paint(state.toUpperCase(), COLOURS[state], look) },
    { title: "FOUND", cell: (check) => found(check).join("\n") },
  ];
  return `${tableText(columns, checks)}\n${summary(checks)}\n`;
}

function summary(checks: readonly Check[]): string {
  const of = (wanted: CheckState) => checks.filter(({ state }) => state === wanted).length;
  return [
    countText(checks.length, "check"),
    `${of("failed")} failed`,
    countText(of("warning"), "warning"),
    `${of("unknown")} unknown`,
  ].join(", ");
}

/** The same as comma-separated values. */
export function checksCsv({ checks }: Examination): string {
  const columns: Column<Check>[] = [
    { title: "CHECK", cell: ({ check }) => check },
    { title: "OF", cell: ({ subject }) => subject },
    { title: "STATE", cell: ({ state }) => state },
    { title: "FOUND", cell: ({ text }) => text },
    { title: "REMEDY", cell: ({ remedy }) => remedy ?? "" },
  ];
  return csvText(columns, checks);
}

/** The same for programs. Its shape is part of the interface and grows by addition. */
export function checksJson({ at, exitCode, checks }: Examination): Record<string, unknown> {
  return {
    version: 1,
    at: rfc3339(at),
    exitCode,
    checks: checks.map(({ check, subject, state, text, remedy }) => ({
      check,
      subject,
      state,
      text,
      remedy: remedy ?? null,
    })),
  };
}
