import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { z } from "zod";
import { call } from "./daemon-api.ts";
import type { LabDaemon } from "./lab.ts";
import { makeToken } from "./trust.ts";

const run = promisify(execFile);

/** Somebody at the source's machine with Incus's own client, who has added the target as a remote. */
export type Person = {
  /** What the target is called there. */
  readonly remote: string;
  /** Runs `incus` with the words, and gives what it printed. */
  incus(...words: string[]): Promise<string>;
  close(): Promise<void>;
};

const Trusted = z.array(z.object({ fingerprint: z.string(), name: z.string() }));

export async function openPerson(source: LabDaemon, target: LabDaemon): Promise<Person> {
  const remote = `person-${randomBytes(4).toString("hex")}`;
  const incus = async (...words: string[]) => (await run(source.client, words)).stdout;
  const token = await makeToken(target, { name: remote });
  await incus("remote", "add", remote, target.url, "--accept-certificate", "--token", token);
  return {
    remote,
    incus,
    async close() {
      await incus("remote", "remove", remote);
      const all = Trusted.parse(await call(target, "GET", "/1.0/certificates?recursion=1"));
      for (const { fingerprint } of all.filter(({ name }) => name === remote)) {
        await call(target, "DELETE", `/1.0/certificates/${fingerprint}`);
      }
    },
  };
}
