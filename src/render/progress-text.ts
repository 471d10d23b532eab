import type { Progress } from "../model/copy.ts";
import type { Step } from "../model/plan.ts";
import { unitLabel } from "../model/unit.ts";
import { rateText, sizeText } from "./amounts.ts";
import { stepVerb } from "./step-lines.ts";

/** How far a transfer is, in one line: `copy web1: 120MiB of about 2GiB, 30MiB/s, IAB_20261120-040000`. */
export function progressText(step: Step, { bytes, totalBytes, bytesPerSecond, what }: Progress): string {
  // What a server tells of a size is no promise: once more has passed, it is known to be wrong.
  const isKnown = totalBytes !== undefined && bytes <= totalBytes;
  const parts = [
    isKnown ? `${sizeText(bytes)} of about ${sizeText(totalBytes)}` : sizeText(bytes),
    ...(bytesPerSecond === undefined ? [] : [rateText(bytesPerSecond)]),
    ...(what === undefined ? [] : [what]),
  ];
  return `${stepVerb(step)} ${unitLabel(step.workload)}: ${parts.join(", ")}`;
}

/** The line cut to the width of the terminal, so that it can be drawn over itself. */
export function fitted(line: string, width: number): string {
  return line.length <= width ? line : `${line.slice(0, Math.max(width - 3, 0))}...`;
}
