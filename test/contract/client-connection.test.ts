import { expect, test } from "vitest";
import type { Operation } from "../../src/incus/answer.ts";
import type { IncusServer } from "../../src/incus/server.ts";
import { makeCertificate } from "../incus/certificates.ts";
import { crashDaemon, restartDaemon } from "../lab/faults.ts";
import { GENERATIONS, openLab } from "../lab/lab.ts";
import { openScratch } from "../lab/scratch.ts";
import { createInstance } from "../lab/workloads.ts";
import { openAs, openTrusted, pinOf } from "./client-lab.ts";

const lab = openLab();

test.each(GENERATIONS)("Incus %s: 500 requests at once make four handshakes", async (generation) => {
  const { signal } = new AbortController();
  const { connection } = await openTrusted(lab.incus[generation].source);
  const asked = Array.from({ length: 500 }, () => connection.request({ method: "GET", path: "/1.0/projects" }, signal));
  expect((await Promise.all(asked)).every((answer) => answer.kind === "sync")).toBe(true);
  expect(connection.handshakes()).toEqual({ http: 4, websocket: 0 });
});

test.each(GENERATIONS)(
  "Incus %s: 40 snapshots at once need four connections and one for events",
  async (generation) => {
    const { signal } = new AbortController();
    const daemon = lab.incus[generation].source;
    const scratch = await openScratch(daemon);
    try {
      const wanted = Array.from({ length: 8 }, (_, i) => `i${i}`);
      const { project } = scratch;
      const units = await Promise.all(wanted.map((name) => createInstance(daemon, { project, name })));
      const server = await openTrusted(daemon);
      for (const name of ["s0", "s1", "s2", "s3", "s4"]) {
        await Promise.all(units.map((unit) => server.createSnapshot(unit, name, signal)));
      }
      for (const unit of units) expect(await server.snapshots(unit, signal)).toHaveLength(5);
      expect(server.connection.handshakes()).toMatchObject({ websocket: 1 });
      expect(server.connection.handshakes().http).toBeLessThanOrEqual(4);
    } finally {
      await scratch.close();
    }
  },
);

test("a wait of half a minute keeps all connections, though servers end idle ones in that time", async ({ signal }) => {
  const waits = GENERATIONS.map(async (generation) => {
    const daemon = lab.incus[generation].source;
    const scratch = await openScratch(daemon);
    try {
      await createInstance(daemon, { project: scratch.project, name: "a" });
      const server = await openTrusted(daemon);
      const four = () => Promise.all(Array.from({ length: 4 }, () => server.projects(signal)));
      await four();
      const begun = await beginMigration(server, scratch.project, signal);
      const ended = await server.operations.waitFor(begun, {}, signal);
      await four();
      return { ended, handshakes: server.connection.handshakes() };
    } finally {
      await scratch.close();
    }
  });
  for (const { ended, handshakes } of await Promise.all(waits)) {
    expect(ended).toMatchObject({ state: "failure", reason: expect.stringContaining("control connection") });
    expect(handshakes).toEqual({ http: 4, websocket: 1 });
  }
});

test.each(GENERATIONS)("Incus %s: another server than the pinned one is not spoken to", async (generation) => {
  const { signal } = new AbortController();
  const { source, target } = lab.incus[generation];
  const server = openAs(target, makeCertificate(), { url: source.url });
  await expect(server.facts(signal)).rejects.toMatchObject({ code: "trust.mismatch" });
  const opened = server.connection.openWebsocket("/1.0/events", signal);
  await expect(opened).rejects.toMatchObject({ code: "trust.mismatch" });
  expect(server.connection.handshakes()).toEqual({ http: 0, websocket: 0 });
  expect(pinOf(source)).not.toBe(pinOf(target));
});

test.each(GENERATIONS)("Incus %s: a server that does not trust us says so", async (generation) => {
  const { signal } = new AbortController();
  const server = openAs(lab.incus[generation].source, makeCertificate());
  await expect(server.facts(signal)).rejects.toMatchObject({
    code: "incus.refused",
    status: 403,
    message: expect.stringContaining("does not trust the agent's certificate"),
  });
  await expect(server.instances(signal)).rejects.toMatchObject({ code: "incus.refused", status: 403 });
});

test.each(GENERATIONS)("Incus %s: a server that is started anew is waited for", async (generation) => {
  const { signal } = new AbortController();
  const daemon = lab.incus[generation].source;
  const server = await openTrusted(daemon);
  await server.projects(signal);
  const restarted = restartDaemon(daemon);
  for (let i = 0; i < 20; i += 1) expect(await server.projects(signal)).not.toHaveLength(0);
  await restarted;
  expect(await server.projects(signal)).not.toHaveLength(0);
});

test.each(GENERATIONS)(
  "Incus %s: the end of an operation is unknown after a crash of the daemon",
  async (generation) => {
    const { signal } = new AbortController();
    const daemon = lab.incus[generation].source;
    const scratch = await openScratch(daemon);
    try {
      await createInstance(daemon, { project: scratch.project, name: "a" });
      const server = await openTrusted(daemon);
      const query = { project: scratch.project };
      const body = { migration: true, live: false, name: "" };
      const begun = await server.connection.request({ method: "POST", path: "/1.0/instances/a", query, body }, signal);
      if (begun.kind !== "async") throw new Error(`a migration began with ${begun.kind}`);
      const ended = server.operations.waitFor(begun.operation, {}, signal);
      await crashDaemon(daemon);
      await restartDaemon(daemon);
      expect(await ended).toMatchObject({ state: "unknown" });
    } finally {
      await scratch.close();
    }
  },
);

/** The source of a copy that nobody takes: it waits for half a minute, and fails. */
async function beginMigration(server: IncusServer, project: string, signal: AbortSignal): Promise<Operation> {
  const body = { migration: true, live: false, name: "" };
  const path = "/1.0/instances/a";
  const begun = await server.connection.request({ method: "POST", path, query: { project }, body }, signal);
  if (begun.kind !== "async") throw new Error(`a migration began with ${begun.kind}`);
  return begun.operation;
}
