import { expect } from "vitest";
import { z } from "zod";
import type { Unit } from "../../src/model/unit.ts";
import { type LabCluster, openCluster } from "../lab/cluster.ts";
import { call } from "../lab/daemon-api.ts";
import { type Generation, type LabDaemon, openLab } from "../lab/lab.ts";
import { createProject, openScratch } from "../lab/scratch.ts";
import { changeContent } from "../lab/storage.ts";
import { createInstance, createVolume } from "../lab/workloads.ts";
import { Ledger } from "./ledger.ts";
import { openSiteBetween, type Site } from "./site.ts";

/** A cluster beside the lab's hosts, and what tests have made on both. */
export type ClusterStage = {
  readonly cluster: LabCluster;
  readonly one: LabDaemon;
  readonly two: LabDaemon;
  /** Makes a scratch project on a host of the lab and on the cluster. */
  openProject(on: LabDaemon, config?: Record<string, string>): Promise<string>;
  /** The agent between two servers. */
  openSite: typeof openSiteBetween;
  /** Where everything of a project is, by name. */
  places(project: string): Promise<Record<string, string>>;
  /** Done when the stage closes, the last first. */
  defer(step: () => Promise<void>): void;
  close(): Promise<void>;
};

const Located = z.array(z.object({ name: z.string(), location: z.string() }));

/** Brings the cluster up; `two` is alone in the group `fast`. */
export async function openClusterStage(generation: Generation): Promise<ClusterStage> {
  const cluster = await openCluster(generation, "target");
  const { one, two } = cluster.members;
  const undo: (() => Promise<void>)[] = [];
  await call(one, "POST", "/1.0/cluster/groups", { name: "fast", members: ["two"] });
  return {
    cluster,
    one,
    two,
    async openProject(on, config) {
      const { project, close } = await openScratch(on);
      undo.push(close);
      await createProject(one, project, config);
      return project;
    },
    async openSite(between, options) {
      const site = await openSiteBetween(between, options);
      undo.push(site.close);
      return site;
    },
    async places(project) {
      const paths = ["instances?", ...Object.values(one.pools).map((pool) => `storage-pools/${pool}/volumes/custom?`)];
      const lists = paths.map((path) => call(one, "GET", `/1.0/${path}recursion=1&project=${project}`));
      const found = (await Promise.all(lists)).flatMap((list) => Located.parse(list));
      const whole = found.filter(({ name }) => !name.includes("/"));
      return Object.fromEntries(whole.map(({ name, location }) => [name, location]));
    },
    defer: (step) => void undo.push(step),
    // What is on the cluster goes with it, whatever becomes of the rest.
    async close() {
      try {
        for (const step of undo.reverse()) await step();
      } finally {
        await cluster.close();
      }
    },
  };
}

/** Workloads that are replicated to both members, over the address of either. */
export type Replicated = {
  readonly project: string;
  readonly units: readonly Unit[];
  readonly viaOne: Site;
  readonly viaTwo: Site;
  /** A run that does everything, on the member where it belongs; afterwards the sources change. */
  goodRun(site: Site, seed: string, ...words: string[]): Promise<void>;
  expectEqual(): Promise<void>;
};

const PLACES = { box: "two", data: "two", lone: "two", old: "one" };

export async function openReplicated(stage: ClusterStage, generation: Generation): Promise<Replicated> {
  const { one, two } = stage;
  const { source } = openLab().incus[generation];
  const project = await stage.openProject(source);
  const { btrfs, dir } = source.pools;
  const devices = { data: { type: "disk", pool: btrfs, source: "data", path: "/srv" } };
  const units = [
    await createVolume(source, { project, pool: btrfs, name: "data", seed: "data" }),
    await createVolume(source, { project, pool: dir, name: "old", seed: "old" }),
    await createInstance(source, { project, name: "box", pool: btrfs, seed: "box", devices }),
    await createInstance(source, { project, name: "lone", pool: dir, seed: "lone" }),
  ];
  const [viaOne, viaTwo] = [
    await stage.openSite({ source, target: one }),
    await stage.openSite({ source, target: two }),
  ];
  const projects = [
    { name: project, mode: "pull", target: "two", instances: [{ name: "box" }] },
    { name: project, mode: "push", target: "@fast", instances: [{ name: "lone" }] },
    { name: project, mode: "pull", volumes: [{ name: "data", storage: btrfs }] },
    { name: project, mode: "relay", target: "one", volumes: [{ name: "old", storage: dir }] },
  ];
  const retention = { hosts: { source: { default: "2" } } };
  for (const site of [viaOne, viaTwo]) await site.writeConfig({ projects, retention });
  const ledger = new Ledger();
  return {
    project,
    units,
    viaOne,
    viaTwo,
    async goodRun(site, seed, ...words) {
      expect(await site.iab(["run", ...words])).toMatchObject({ exitCode: 0, stderr: "" });
      expect(await stage.places(project)).toEqual(PLACES);
      for (const unit of units) {
        await ledger.note(source, unit);
        await changeContent(source, unit, seed);
      }
    },
    async expectEqual() {
      for (const unit of units) await ledger.expectEqual(source, unit, unit.name === "old" ? one : two);
    },
  };
}
