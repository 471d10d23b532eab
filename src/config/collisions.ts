import { z } from "zod";
import { isGlob } from "../model/glob.ts";
import { SIDES } from "../model/job.ts";
import { pathText } from "./parse-json.ts";

/** A problem that only shows when several parts are seen together. */
export type Finding = { readonly path: readonly (string | number)[]; readonly message: string };

// What is looked at may have faults of its own, which are told elsewhere: only as much is read as is needed here.
const RoughProject = z.object({
  name: z.string(),
  mode: z.string().default("push"),
  targetProject: z.string().optional(),
  instances: z.array(z.object({ name: z.string() })).default([]),
  volumes: z
    .array(z.object({ name: z.string(), storage: z.string(), targetStorage: z.string().optional() }))
    .default([]),
});

const RoughNames = z.object({ byName: z.record(z.string(), z.unknown()) }).catch({ byName: {} });
const RoughPolicies = z
  .object({ projects: z.record(z.string(), z.object({ instances: RoughNames, volumes: RoughNames })) })
  .catch({ projects: {} });
const RoughRetention = z.object({ hosts: z.object({ source: RoughPolicies, target: RoughPolicies }) });

const RoughConfig = z.object({
  iab: z.object({ bandwidthLimit: z.unknown().optional() }).catch({ bandwidthLimit: undefined }),
  hosts: z.array(z.object({ url: z.string() })).catch([]),
  projects: z.array(z.unknown()).catch([]),
  retention: z.unknown().optional(),
});

type Place = { readonly source: string; readonly target: string; readonly path: readonly (string | number)[] };

/** Everything in a configuration, sound by its parts or not, that does not go together. */
export function findCollisions(config: unknown): Finding[] {
  const read = RoughConfig.safeParse(config);
  if (!read.success) return [];
  const { iab, hosts, projects } = read.data;
  const places = projects.flatMap(placesOf);
  const sameServer = hosts.length === 2 && hosts[0]?.url === hosts[1]?.url;
  return [
    ...repeated(places),
    ...(sameServer ? places.filter(({ source, target }) => source === target).map(ontoItself) : []),
    ...(iab.bandwidthLimit === undefined ? [] : projects.flatMap(unlimited)),
    ...strayPatterns(read.data.retention, projects),
  ];
}

/** No workload may stand twice, and no two may end in the same place. */
function repeated(places: readonly Place[]): Finding[] {
  const sources = new Map<string, Place>();
  const targets = new Map<string, Place>();
  return places.flatMap((place) => {
    const { source, target, path } = place;
    const same = sources.get(source);
    if (same !== undefined) return [{ path, message: `${source} stands in ${pathText(same.path)} already` }];
    sources.set(source, place);
    const rival = targets.get(target);
    if (rival !== undefined) {
      return [
        { path, message: `${target} on the target is the copy of ${rival.source} in ${pathText(rival.path)} already` },
      ];
    }
    targets.set(target, place);
    return [];
  });
}

function ontoItself({ source, path }: Place): Finding {
  return { path, message: `${source} would be copied onto itself: source and target are the same server` };
}

function unlimited(project: unknown): Finding[] {
  const read = RoughProject.safeParse(project);
  if (!read.success || read.data.mode === "relay") return [];
  const { name, mode } = read.data;
  const message = `holds in "mode": "relay" only, and project ${name} has "${mode === "" ? "push" : mode}"`;
  return [{ path: ["iab", "bandwidthLimit"], message }];
}

/** A pattern among the policies holds for the entry that is written the same, and for nothing else. */
function strayPatterns(retention: unknown, projects: readonly unknown[]): Finding[] {
  const read = RoughRetention.safeParse(retention);
  if (!read.success) return [];
  const entries = new Set(projects.flatMap(namesOf));
  return SIDES.flatMap((side) =>
    Object.entries(read.data.hosts[side].projects).flatMap(([project, kinds]) =>
      (["instances", "volumes"] as const).flatMap((kind) =>
        Object.keys(kinds[kind].byName)
          .filter((name) => isGlob(name) && !entries.has(`${project}/${kind}/${name}`))
          .map((name) => ({
            path: ["retention", "hosts", side, "projects", project, kind, "byName", name],
            message: `the pattern is not one of the project's ${kind}, so this policy would apply to nothing`,
          })),
      ),
    ),
  );
}

function namesOf(project: unknown): string[] {
  const read = RoughProject.safeParse(project);
  if (!read.success) return [];
  const { name, instances, volumes } = read.data;
  return [
    ...instances.map((entry) => `${name}/instances/${entry.name}`),
    ...volumes.map((entry) => `${name}/volumes/${entry.name}`),
  ];
}

function placesOf(project: unknown, index: number): Place[] {
  const read = RoughProject.safeParse(project);
  if (!read.success) return [];
  const { name, targetProject = name, instances, volumes } = read.data;
  return [
    ...instances.map((instance, at) => ({
      source: `instance ${name}/${instance.name}`,
      target: `instance ${targetProject}/${instance.name}`,
      path: ["projects", index, "instances", at],
    })),
    ...volumes.map(({ name: volume, storage, targetStorage = storage }, at) => ({
      source: `volume ${name}/${storage}/${volume}`,
      target: `volume ${targetProject}/${targetStorage}/${volume}`,
      path: ["projects", index, "volumes", at],
    })),
  ];
}
