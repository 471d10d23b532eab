import type { Copy, InstanceCopy, VolumeCopy } from "../model/copy.ts";
import { unitPath, volumesPath } from "./unit-path.ts";

/** The two websockets of a migration, in the order in which they have to be connected. */
export const CHANNELS = ["control", "fs"] as const;
export type Secrets = Readonly<Record<(typeof CHANNELS)[number], string>>;

/** Where a server finds the other one's end of a migration, and what it has to show there. */
export type Peer = {
  /** The operation's address, as the server that dials can reach it. */
  readonly operation: string;
  readonly secrets: Secrets;
  /** The PEM of the certificate it has to meet there. */
  readonly certificate: string;
};

/** A request that starts one end of a migration. */
export type MigrationRequest = {
  readonly method: "POST";
  readonly path: string;
  readonly query: Readonly<Record<string, string | undefined>>;
  readonly body: unknown;
};

/** Has the source offer its data: to whoever comes with the secrets, or to a peer that it dials itself. */
export function sourceRequest(copy: Copy, peer: Peer | undefined): MigrationRequest {
  const { source } = copy;
  const where = { method: "POST", path: unitPath(source), query: { project: source.project } } as const;
  switch (copy.kind) {
    case "instance":
      return { ...where, body: { ...offer(peer), name: "", live: false, ...instanceOptions(copy) } };
    case "volume":
      return {
        ...where,
        body: { ...offer(peer), name: copy.source.name, pool: copy.source.pool, volume_only: false },
      };
  }
}

/**
 * Has the target take the data: from a peer that it dials itself, or from whoever comes with the secrets it answers
 * with. Always as a refresh: what is not there yet is made, and what is there keeps its configuration.
 */
export function sinkRequest(copy: Copy, peer: Peer | undefined): MigrationRequest {
  const query = { project: copy.target.project, target: copy.member };
  switch (copy.kind) {
    case "instance":
      return { method: "POST", path: "/1.0/instances", query, body: newInstance(copy, peer) };
    case "volume":
      return { method: "POST", path: volumesPath(copy.target.pool), query, body: newVolume(copy, peer) };
  }
}

function offer(peer: Peer | undefined) {
  return { migration: true, ...(peer === undefined ? {} : { target: peer }) };
}

/** Without snapshots a refresh would delete all that the target has: the server's word for them is never true here. */
function instanceOptions(copy: InstanceCopy) {
  return { instance_only: false, allow_inconsistent: copy.allowInconsistent };
}

function sink(peer: Peer | undefined) {
  return {
    type: "migration",
    mode: peer === undefined ? "push" : "pull",
    ...peer,
    refresh: true,
    refresh_exclude_older: true,
  };
}

function newInstance(copy: InstanceCopy, peer: Peer | undefined) {
  const { type, architecture, description, config, devices, profiles } = copy.create;
  const baseImage = config["volatile.base_image"];
  const source = {
    ...sink(peer),
    ...(baseImage === undefined ? {} : { "base-image": baseImage }),
    live: false,
    ...instanceOptions(copy),
  };
  return {
    ...{ name: copy.target.name, type, architecture, description, config, devices, profiles },
    ...{ ephemeral: false, stateful: false, start: false },
    source,
  };
}

function newVolume(copy: VolumeCopy, peer: Peer | undefined) {
  const { contentType, description, config } = copy.create;
  const { name, pool } = copy.source;
  return {
    ...{ name: copy.target.name, type: "custom", content_type: contentType, description, config },
    source: { ...sink(peer), name, pool, volume_only: false },
  };
}
