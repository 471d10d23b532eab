import type { Instance, Pool, ServerState, Volume } from "../model/state.ts";

/** What the first configuration is made of. Without `state` it names no workloads. */
export type FirstConfig = {
  readonly credentialsFolder: string;
  readonly uuid: string;
  readonly sourceUrl: string;
  readonly targetUrl: string;
  readonly healthchecksUrl: string | undefined;
  readonly names: { readonly source: string; readonly target: string };
  readonly state: { readonly source: ServerState; readonly target: ServerState } | undefined;
};

/** The text of a first config.json: everything that replicates today, to be cut down by hand. */
export function firstConfig(from: FirstConfig): string {
  const content = {
    iab: {
      iabCredDir: from.credentialsFolder,
      uuid: from.uuid,
      stopInstance: false,
      ...(from.healthchecksUrl === undefined ? {} : { healthchecksUrl: from.healthchecksUrl }),
    },
    hosts: [
      { name: from.names.source, role: "source", url: from.sourceUrl },
      { name: from.names.target, role: "target", url: from.targetUrl },
    ],
    projects: from.state === undefined ? [] : projectsOf(from.state.source, from.state.target),
    // Nothing is pruned until somebody who knows the data says what may go.
    retention: { hosts: { source: { default: "" }, target: { default: "" } } },
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}

function projectsOf(source: ServerState, target: ServerState): object[] {
  return source.projects
    .map(({ name }) => ({
      name,
      mode: "pull",
      instances: source.instances
        .filter((instance) => instance.project === name && !instance.ephemeral)
        .map((instance) => ({ name: instance.name, storage: targetPool(rootPool(instance), target.pools) })),
      volumes: volumeEntries(
        source.volumes.filter((volume) => volume.project === name),
        target,
      ),
    }))
    .filter(({ instances, volumes }) => instances.length + volumes.length > 0);
}

/** An entry for each volume. What would end in one place with another keeps its own pool's name, for a person to correct. */
function volumeEntries(volumes: readonly Volume[], target: ServerState): object[] {
  const there = target.pools.map(({ name }) => name);
  const taken = new Set(volumes.filter(({ pool }) => there.includes(pool)).map(placeOf));
  // In a cluster two members may each have a volume of one name in the same pool: one entry means them both.
  const distinct = new Map(volumes.map((volume) => [placeOf(volume), volume]));
  return [...distinct.values()].map((volume) => {
    const { name, pool } = volume;
    const other = targetPool(pool, target.pools);
    if (other === pool || taken.has(placeOf({ name, pool: other }))) return { name, storage: pool };
    taken.add(placeOf({ name, pool: other }));
    return { name, storage: pool, targetStorage: other };
  });
}

function placeOf({ name, pool }: Pick<Volume, "name" | "pool">): string {
  return `${pool}/${name}`;
}

function rootPool(instance: Instance): string {
  const root = Object.values(instance.expandedDevices).find(
    (device) => device["type"] === "disk" && device["path"] === "/",
  );
  return root?.["pool"] ?? "default";
}

/** The pool of the same name; where the target has none, its first, which a person may have to correct. */
function targetPool(name: string, pools: readonly Pool[]): string {
  return pools.some((pool) => pool.name === name) ? name : (pools[0]?.name ?? name);
}
