import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { makeCertificate } from "../fakes/incus/certificate.ts";
import { RawClient } from "../fakes/incus/raw-client.ts";
import { type Generation, type LabDaemon, openLab } from "../lab/lab.ts";
import { openScratch } from "../lab/scratch.ts";
import { changeContent, contentDigest } from "../lab/storage.ts";
import { makeToken, trustCertificate } from "../lab/trust.ts";
import { createInstance, createVolume } from "../lab/workloads.ts";
import { openAs, openBoth } from "./agent.ts";
import type { Stage } from "./stage.ts";

const SMALL_BYTES = 20_000;

/** A stage of two daemons of the lab. Throws where there is no lab: what was not tested has not passed. */
export async function openReal(generation: Generation): Promise<Stage> {
  const daemons = openLab().incus[generation];
  const scratch = await openScratch(daemons.source, daemons.target);
  const client = makeCertificate({ commonName: "contract" });
  const where = { source: whereOf(daemons.source), target: whereOf(daemons.target) };
  for (const side of ["source", "target"] as const) {
    await trustCertificate(daemons[side], client.certificate, { name: "contract" });
  }
  const raw = { source: new RawClient(where.source, client), target: new RawClient(where.target, client) };
  const servers = openBoth(where.source, where.target, client);
  const files = { source: openAs("source", where.source, client), target: openAs("target", where.target, client) };
  const { project } = scratch;
  return {
    generation,
    project,
    servers,
    files,
    raw,
    createInstance: (side, wish) =>
      createInstance(daemons[side], { ...wish, project, seed: wish.name, sizeBytes: SMALL_BYTES }),
    createVolume: (side, wish) =>
      createVolume(daemons[side], { ...wish, project, seed: wish.name, sizeBytes: SMALL_BYTES }),
    changeContent: (side, unit, seed) => changeContent(daemons[side], unit, seed, SMALL_BYTES),
    digest: (side, unit, snapshot) => contentDigest(daemons[side], unit, snapshot),
    makeToken: (side, rights) => makeToken(daemons[side], rights),
    trust: (side, { certificate }, rights) => trustCertificate(daemons[side], certificate, rights),
    openAs: (side, other) => openAs(side, where[side], other),
    // The daemons' clock is this machine's.
    nextSecond: () => setTimeout(1001 - (Date.now() % 1000)),
    async close() {
      await servers.close();
      await Promise.all(Object.values(files).map((each) => each.close()));
      await Promise.all(Object.values(raw).map((each) => each.close()));
      await scratch.close();
    },
  };
}

function whereOf({ url, certificate }: LabDaemon): { url: string; certificate: string } {
  return { url, certificate: readFileSync(certificate, "utf8") };
}
