import { MARKS } from "../model/marks.ts";
import type { Instance, Profile } from "../model/state.ts";
import { profileOf, type ServerIndex, servingProject } from "./index-state.ts";

/** The profiles of an instance that the target does not have. */
export type Missing = {
  /** The project on the target whose profiles serve the replica. */
  readonly project: string;
  /** Those of which it has none in any form. */
  readonly names: readonly string[];
  /** These, and those that nothing but an empty one of ours stands in for. */
  readonly leftOff: readonly string[];
  /** The agent's certificate lets it make profiles there. */
  readonly mayBeMade: boolean;
};

/**
 * A server receives no snapshot that names a profile which it lacks. Snapshots have no profiles of their own: whatever an
 * instance had when they were taken, they go out with those that it has now.
 */
export function missingProfiles(source: Instance, project: string, target: ServerIndex): Missing {
  const home = servingProject(target, project, "ownProfiles");
  // Every project has a profile default: where none is seen, none can be.
  const canBeSeen = profileOf(target, project, "default") !== undefined;
  const leftOff = canBeSeen ? source.profiles.filter((name) => profileFor(target, project, name) === undefined) : [];
  const names = leftOff.filter((name) => profileOf(target, project, name) === undefined);
  // By mistake 6.0 lets a restricted certificate write to `default` by way of a project that borrows from it.
  return { project: home, names, leftOff, mayBeMade: !target.facts.restricted || target.projects.has(home) };
}

/** The profile that a replica may have: not one of ours that stands in for it, and that nobody has filled. */
export function profileFor(target: ServerIndex, project: string, name: string): Profile | undefined {
  const found = profileOf(target, project, name);
  return found === undefined || isStandIn(found) ? undefined : found;
}

function isStandIn({ config, devices }: Profile): boolean {
  const brings = Object.keys(config).length - 1 + Object.keys(devices).length;
  return config[MARKS.standIn] !== undefined && brings === 0;
}
