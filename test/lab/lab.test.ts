import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { access } from "node:fs/promises";
import { connect } from "node:tls";
import { afterEach, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { call } from "./daemon-api.ts";
import { crashDaemon, createTinyPool, deletePool, restartDaemon } from "./faults.ts";
import { GENERATIONS, type LabDaemon, openLab } from "./lab.ts";
import { openScratch } from "./scratch.ts";
import { createInstance, createVolume, startInstance, stopInstance } from "./workloads.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

const Server = z.object({ environment: z.object({ server_version: z.string(), certificate: z.string() }) });
const State = z.object({ status: z.string(), pid: z.number() });

test("openLab() says what to do when there is no lab", () => {
  vi.stubEnv("IAB_LAB_DIR", "/nonexistent");
  expect(() => openLab()).toThrow("The lab is not up: cannot read /nonexistent/lab.json. Run make lab as root first");
});

test("openLab() finds Kopia and the keys of S3 and SFTP", async () => {
  const lab = openLab();
  await access(lab.kopia().path);
  await access(lab.s3().tls.caFile);
  await access(lab.sftp.keyFile);
  expect(lab.s3().plain.endpoint).not.toBe(lab.s3().tls.endpoint);
});

describe.each(GENERATIONS)("Incus %s", (generation) => {
  const { version, source, target } = openLab().incus[generation];

  test.each([source, target])(
    "the $side answers as the version of the lab, with its own certificate",
    async (daemon) => {
      const { environment } = Server.parse(await call(daemon, "GET", "/1.0"));
      expect(environment.server_version).toBe(version);
      expect(version.startsWith(`${generation}.`)).toBe(true);
      const onDisk = new X509Certificate(readFileSync(daemon.certificate));
      expect(await peerFingerprint(daemon)).toBe(onDisk.fingerprint256);
      expect(new X509Certificate(environment.certificate).fingerprint256).toBe(onDisk.fingerprint256);
    },
  );

  test("the source has a managed network that the target lacks", async () => {
    const [network] = source.networks;
    expect(await call(source, "GET", `/1.0/networks/${network}`)).toMatchObject({ managed: true });
    await expect(call(target, "GET", `/1.0/networks/${network}`)).rejects.toMatchObject({ status: 404 });
  });

  test("a container runs, with a network, and outlives its daemon's crash", async () => {
    const scratch = await openScratch(source);
    try {
      const devices = { eth0: { type: "nic", network: source.networks[0] ?? "" } };
      const unit = await createInstance(source, { project: scratch.project, name: "c1", devices });
      await startInstance(source, unit);
      const state = async () => {
        const path = `/1.0/instances/c1/state?project=${scratch.project}`;
        return State.parse(await call(source, "GET", path));
      };
      const before = await state();
      expect(before.status).toBe("Running");
      await crashDaemon(source);
      await expect(call(source, "GET", "/1.0")).rejects.toMatchObject({ code: expect.stringMatching(/^E/) });
      await restartDaemon(source);
      expect(await state()).toEqual(before);
      await stopInstance(source, unit);
    } finally {
      await scratch.close();
    }
  });

  test("createTinyPool() makes a pool that is soon full", async () => {
    const scratch = await openScratch(target);
    await createTinyPool(target, "small");
    try {
      const wanted = { project: scratch.project, pool: "small", name: "v1", seed: "a" };
      const tooMuch = createVolume(target, { ...wanted, sizeBytes: 400 << 20 });
      await expect(tooMuch).rejects.toMatchObject({ code: "ENOSPC" });
    } finally {
      await scratch.close();
      await deletePool(target, "small");
    }
  });
});

async function peerFingerprint(daemon: LabDaemon): Promise<string> {
  const { hostname, port } = new URL(daemon.url);
  const ca = readFileSync(daemon.certificate);
  const socket = connect({
    host: hostname,
    port: Number(port),
    ca,
    servername: "",
    checkServerIdentity: () => undefined,
  });
  await once(socket, "secureConnect");
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}
