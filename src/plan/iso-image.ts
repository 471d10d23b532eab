import { MARKS } from "../model/marks.ts";
import type { CopyStep } from "../model/plan.ts";
import { type Snapshot, snapshotName } from "../model/snapshot.ts";
import type { Volume, Workload } from "../model/state.ts";
import { unitLabel } from "../model/unit.ts";
import type { Route, RouteContext } from "./choose-route.ts";
import { sourceMark } from "./judge-replica.ts";
import { isNamed } from "./orders.ts";
import type { Pair } from "./pair-up.ts";

/** Whether a workload is an ISO image: Incus takes no snapshots of it, and it never changes. */
export function isIso(workload: Workload): workload is Volume {
  return workload.kind === "volume" && workload.contentType === "iso";
}

/** The image as if it were its own and only snapshot: the moment of its making tells it from a later one of its name. */
export function isoImage({ createdAt }: Volume): Snapshot {
  const name = snapshotName(createdAt).replace(/^IAB/, "ISO");
  const createdAtExact = new Date(createdAt).toISOString();
  return { name, createdAt, createdAtExact, expiresAt: undefined, sizeBytes: undefined };
}

/**
 * An image is copied once, and nothing is ever put in its place: Incus 6.0 loses the content of one that it renames, and no
 * server lets itself be told anything of one that exists.
 */
export function isoRoute(pair: Pair, image: Volume, first: Route, { index, orders }: RouteContext): Route {
  const { replica } = pair;
  if (replica === undefined) return first;
  const { name, pool, project } = replica.kind === "volume" ? replica : image;
  const byHand = `On the target: incus storage volume delete ${pool} ${name} --project ${project}; the next run copies it`;
  const none = (why: string, hint: string): Route => ({ kind: "none", refusal: { why, hint } });
  const place = unitLabel(pair.job.target);
  if (replica.config[MARKS.source] !== sourceMark(pair, index))
    return none(
      `${place} on the target is not a replica of it: no mark of ours`,
      "Rename it, or give this volume another target",
    );
  if (isNamed(pair.job.source, orders.reseed)) return none("an ISO image cannot give way to a fresh copy", byHand);
  if (replica.config[MARKS.last] === isoImage(image).name)
    return { kind: "none", refusal: { why: "an ISO image does not change, and its copy is there", failed: false } };
  return none(`${unitLabel(pair.job.source)} was made anew on the source since its replica was made`, byHand);
}

/** The copy of an image: its marks are written when it is made, since that is the only time. */
export function isoStep(step: CopyStep): CopyStep {
  const { copy, marks } = step;
  if (copy.kind === "instance") return step;
  const create = { ...copy.create, config: { ...copy.create.config, ...marks } };
  return { ...step, proof: [], marks: {}, copy: { ...copy, create } };
}
