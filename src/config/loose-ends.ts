import { globMatches } from "../model/glob.ts";
import { SIDES } from "../model/job.ts";
import type { Config } from "./config.ts";
import { pathText } from "./parse-json.ts";

/**
 * What a configuration says to no effect: policies of projects and workloads that it does not name. IAB 1.2.0 took them
 * without a word, so they are no errors; but who misspells a name has another policy at work than he thinks.
 */
export function looseEnds(config: Config): string[] {
  return SIDES.flatMap((side) =>
    [...config.retention[side].projects].flatMap(([project, policies]) => {
      const path = ["retention", "hosts", side, "projects", project];
      const entries = config.projects.filter(({ name }) => name === project);
      if (entries.length === 0) return [`${pathText(path)}: no project of that name is replicated`];
      return (["instances", "volumes"] as const).flatMap((kind) => {
        const names = entries.flatMap((entry) => entry[kind].map(({ name }) => name));
        return [...policies[kind].byName.keys()]
          .filter((name) => !names.some((entry) => entry === name || globMatches(entry, name)))
          .map((name) => `${pathText([...path, kind, "byName", name])}: none of the ${kind} replicated has that name`);
      });
    }),
  );
}
