import { globMatches, isGlob } from "../model/glob.ts";
import type { InstanceJob, Job, Policies, VolumeJob } from "../model/job.ts";
import { KEEP_ALL, type Policy } from "../model/policy.ts";
import type { Config, HostPolicies, InstanceEntry, Project, VolumeEntry } from "./config.ts";

export type JobOptions = {
  /** IAB 1.2.0's `--iOSfix`, by default true: the target follows the source's policies. */
  readonly iosFix: boolean;
};

type Kind = "instances" | "volumes";

/** All that is to be replicated, volumes before the instances that use them, with the policies that apply. */
export function jobsOf(config: Config, options: JobOptions): Job[] {
  return config.projects.flatMap((project) => [
    ...project.volumes.map((volume) =>
      volumeJob(volume, project, retentionOf(config, options, project, "volumes", volume.name)),
    ),
    ...project.instances.map((instance) =>
      instanceJob(instance, project, retentionOf(config, options, project, "instances", instance.name)),
    ),
  ]);
}

function volumeJob(volume: VolumeEntry, project: Project, retention: Retention): VolumeJob {
  return {
    kind: "volume",
    source: { kind: "volume", project: project.name, pool: volume.pool, name: volume.name },
    target: { kind: "volume", project: project.targetProject, pool: volume.targetPool, name: volume.name },
    mode: project.mode,
    history: project.history,
    targetMember: volume.targetMember,
    ...retention,
  };
}

function instanceJob(instance: InstanceEntry, project: Project, retention: Retention): InstanceJob {
  return {
    kind: "instance",
    source: { kind: "instance", project: project.name, name: instance.name },
    target: { kind: "instance", project: project.targetProject, name: instance.name },
    mode: project.mode,
    history: project.history,
    rootPool: instance.rootPool,
    excludeDevices: instance.excludeDevices,
    stop: instance.stop,
    targetMember: instance.targetMember,
    ...retention,
  };
}

type Retention = Pick<Job, "retention" | "retentionByName">;

/** What applies to one entry; for a glob also what applies to the names that have a policy of their own. */
function retentionOf(config: Config, options: JobOptions, project: Project, kind: Kind, name: string): Retention {
  // Kept history is the target's own affair: there it has policies of its own, whatever Incus can do elsewhere.
  const follows = options.iosFix && project.history === "mirror";
  const policiesFor = (...names: string[]): Policies => ({
    source: resolvePolicy(config.retention.source, project.name, kind, names),
    target: resolvePolicy(config.retention[follows ? "source" : "target"], project.name, kind, names),
  });
  if (!isGlob(name)) return { retention: policiesFor(name) };
  const named = namesWithPolicies(config, project.name, kind).filter((one) => globMatches(name, one));
  return {
    retention: policiesFor(name),
    retentionByName: Object.fromEntries(named.map((one) => [one, policiesFor(one, name)])),
  };
}

/** The most particular policy counts: that of the name, of the kind, of the project, of the host. */
function resolvePolicy(host: HostPolicies, project: string, kind: Kind, names: readonly string[]): Policy {
  const below = host.projects.get(project);
  const ofKind = below?.[kind];
  const ofName = names.map((name) => ofKind?.byName.get(name)).find((policy) => policy !== undefined);
  return ofName ?? ofKind?.default ?? below?.default ?? host.default ?? KEEP_ALL;
}

function namesWithPolicies({ retention }: Config, project: string, kind: Kind): string[] {
  const names = [retention.source, retention.target].flatMap(({ projects }) => [
    ...(projects.get(project)?.[kind].byName.keys() ?? []),
  ]);
  return [...new Set(names)].filter((name) => !isGlob(name));
}
