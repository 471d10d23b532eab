import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { makeBackup } from "../../src/kopia/back-up.ts";
import { kopiaClient } from "../../src/kopia/client.ts";
import { movementOfBackup } from "../../src/kopia/progress.ts";
import type { Command, Finished } from "../../src/model/ports.ts";
import { Secret } from "../../src/model/secret.ts";
import { MINUTE_MS } from "../../src/model/time.ts";
import { outputVia } from "../fakes/world/output-via.ts";

function clientOf(run: (command: Command, signal: AbortSignal) => Promise<Finished>) {
  return kopiaClient({
    program: "kopia",
    configFile: "/f/c.config",
    logFolder: "/f/logs",
    password: new Secret("hidden"),
    processes: { run, output: outputVia(run) },
    idleMs: 15 * MINUTE_MS,
  });
}

const forEver = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));

test("kopiaClient() gives the password by the environment, never by an argument", async ({ signal }) => {
  const commands: Command[] = [];
  const client = clientOf(async (command) => {
    commands.push(command);
    return { exitCode: 0, stdout: "out", stderr: "" };
  });
  expect(await client.run({ args: ["repository", "status"], doing: "look" }, signal)).toBe("out");
  expect(commands[0]?.argv).toEqual([
    "kopia",
    "--config-file=/f/c.config",
    "--log-dir=/f/logs",
    "repository",
    "status",
  ]);
  expect(commands[0]?.environment).toMatchObject({ KOPIA_PASSWORD: "hidden" });
});

describe("kopiaClient(), while time goes by,", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const call = { args: [], doing: "back up /x", idleMs: 60_000, movementOf: movementOfBackup };

  test("ends one that is silent: a backup after the client's limit, a question after two minutes", async ({
    signal,
  }) => {
    const client = clientOf((_, ending) => forEver(ending));
    const backup = client.run({ args: [], doing: "back up /x", movementOf: movementOfBackup }, signal);
    const question = client.run({ args: [], doing: "list the backups" }, signal);
    const ended: string[] = [];
    backup.catch(({ code, message }) => ended.push(code, message));
    question.catch(({ code, message }) => ended.push(code, message));
    await vi.advanceTimersByTimeAsync(2 * MINUTE_MS);
    expect(ended).toEqual(["kopia.silent", expect.stringContaining("no progress for 2 minutes")]);
    await vi.advanceTimersByTimeAsync(15 * MINUTE_MS);
    expect(ended.slice(2)).toEqual(["kopia.silent", expect.stringContaining("no progress for 15 minutes")]);
  });

  test("asks the storage once, when a backup got nowhere, what is wrong with it", async ({ signal }) => {
    const asked: string[] = [];
    const client = clientOf(async ({ argv }, ending) => {
      asked.push(argv.slice(3).join(" "));
      if (!argv.includes("status")) return forEver(ending);
      return { exitCode: 1, stdout: "", stderr: "dial tcp 127.0.0.1:1: connect: connection refused" };
    });
    const ended = expect(client.run({ ...call, args: ["create"] }, signal)).rejects.toMatchObject({
      code: "kopia.unreachable",
      message: "Cannot back up /x: the storage cannot be reached",
    });
    await vi.advanceTimersByTimeAsync(60_000);
    await ended;
    expect(asked).toEqual(["create", "repository status --json"]);
  });

  test("ends a Kopia that says much and gets nowhere", async ({ signal }) => {
    const line = " | 1 hashing, 0 hashed (1 B), 0 cached (0 B), uploaded 0 B, estimating...";
    const client = clientOf(async ({ onErrorLine }, ending) => {
      const timer = setInterval(() => onErrorLine?.(line), 1000);
      return forEver(ending).finally(() => clearInterval(timer));
    });
    const ended = expect(client.run(call, signal)).rejects.toMatchObject({ code: "kopia.silent" });
    await vi.advanceTimersByTimeAsync(4 * MINUTE_MS);
    await ended;
  });

  test("lets a Kopia go on that gets on, however slowly", async ({ signal }) => {
    const client = clientOf(async ({ onErrorLine }, ending) => {
      for (let done = 1; done <= 10; done++) {
        await new Promise((resolve) => setTimeout(resolve, 50_000));
        ending.throwIfAborted();
        onErrorLine?.(` | 1 hashing, ${done} hashed (1 B), 0 cached (0 B), uploaded 0 B, estimating...`);
      }
      return { exitCode: 0, stdout: "done", stderr: "" };
    });
    const ended = client.run(call, signal);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(await ended).toBe("done");
  });
});

test("kopiaClient() hands a signal on as it is", async () => {
  const ending = new AbortController();
  const ended = clientOf((_, signal) => forEver(signal)).run({ args: [], doing: "look" }, ending.signal);
  ending.abort("SIGTERM");
  await expect(ended).rejects.toBe("SIGTERM");
});

const whole = {
  id: "0123456789abcdef0123456789abcdef",
  source: { host: "h", userName: "u", path: "/x" },
  startTime: "2026-11-20T07:38:42.883504514Z",
  endTime: "2026-11-20T07:38:43.075987846Z",
  rootEntry: { obj: "k1", summ: { size: 3, files: 2, numFailed: 0 } },
};
const errors = [{ path: "etc/shadow", error: "permission denied" }];
const failing: { name: string; exitCode: number; printed: object; listed: object[]; code: string }[] = [
  {
    name: "was cancelled",
    exitCode: 0,
    printed: { ...whole, incomplete: "canceled" },
    listed: [whole],
    code: "kopia.incomplete",
  },
  {
    name: "lacks files",
    exitCode: 1,
    printed: { ...whole, rootEntry: { obj: "k1", summ: { size: 3, files: 2, numFailed: 1, errors } } },
    listed: [whole],
    code: "kopia.incomplete",
  },
  { name: "is not in the list", exitCode: 0, printed: whole, listed: [], code: "kopia.incomplete" },
  { name: "could not be written to its end", exitCode: 1, printed: whole, listed: [whole], code: "kopia.full" },
];
test.each(failing)(
  "makeBackup() does not take for a success what $name",
  async ({ exitCode, printed, listed, code }) => {
    const client = clientOf(async ({ argv }) =>
      argv.includes("list")
        ? { exitCode: 0, stdout: JSON.stringify(listed), stderr: "" }
        : { exitCode, stdout: JSON.stringify(printed), stderr: "error flushing: no space left on device" },
    );
    const made = makeBackup(client, { args: ["create"], doing: "back up /x" }, () => {}, AbortSignal.timeout(5000));
    await expect(made).rejects.toMatchObject({ code });
  },
);

async function bytesOf(parts: AsyncIterable<Uint8Array>): Promise<string> {
  let read = "";
  for await (const part of parts) read += Buffer.from(part).toString();
  return read;
}

test("read() gives what Kopia writes, and throws rather than ends where Kopia failed", async ({ signal }) => {
  const call = { args: ["show", "k1/disk.img"], doing: "read backup b1" };
  const well = clientOf(async () => ({ exitCode: 0, stdout: "bytes", stderr: "" }));
  expect(await bytesOf(well.read(call, signal))).toBe("bytes");
  const badly = clientOf(async () => ({ exitCode: 1, stdout: "byt", stderr: "error: BLOB not found" }));
  await expect(bytesOf(badly.read(call, signal))).rejects.toMatchObject({ code: expect.stringMatching(/^kopia\./) });
});

test("read() gives a Kopia up that writes nothing any more", async ({ signal }) => {
  const client = clientOf((_, under) => forEver(under));
  const reading = bytesOf(client.read({ args: ["show", "k1/disk.img"], doing: "read backup b1", idleMs: 50 }, signal));
  await expect(reading).rejects.toMatchObject({ code: "kopia.silent" });
});
