import { expect, test } from "vitest";
import { systemProcesses } from "../../src/system/processes.ts";

const node = (script: string) => [process.execPath, "-e", script];
const processes = systemProcesses(200);

async function all(argv: readonly string[], signal: AbortSignal) {
  const parts = processes.output({ argv }, signal);
  const read: Uint8Array[] = [];
  for (;;) {
    const next = await parts.next();
    if (next.done) return { ended: next.value, bytes: Buffer.concat(read) };
    read.push(next.value);
  }
}

/** Whether a process is still there. */
function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test("output() gives every byte, and then how the program ended and what it said", async ({ signal }) => {
  const script = "process.stdout.write(Buffer.alloc(3_000_001, 255)); console.error('why'); process.exitCode = 4";
  const { ended, bytes } = await all(node(script), signal);
  expect(bytes.equals(Buffer.alloc(3_000_001, 255))).toBe(true);
  expect(ended).toEqual({ exitCode: 4, stdout: "", stderr: "why\n" });
});

test("output() is a pipe that a program can open anew", async ({ signal }) => {
  const { ended, bytes } = await all(["sh", "-c", "echo opened > /dev/stdout"], signal);
  expect(ended).toMatchObject({ exitCode: 0, stderr: "" });
  expect(bytes.toString()).toBe("opened\n");
});

test("output() says which program is missing", async ({ signal }) => {
  await expect(all(["iab-no-such-program"], signal)).rejects.toMatchObject({ code: "files.unusable" });
});

const endless = node("console.log(process.pid); setInterval(() => {}, 1000)");

async function begin(signal: AbortSignal) {
  const parts = processes.output({ argv: endless }, signal);
  const first = await parts.next();
  return { parts, pid: Number(Buffer.from(first.value as Uint8Array).toString()) };
}

test("output() ends a program that nobody reads on", async ({ signal }) => {
  const { parts, pid } = await begin(signal);
  expect(lives(pid)).toBe(true);
  await parts.return({ exitCode: 0, stdout: "", stderr: "" });
  await expect.poll(() => lives(pid)).toBe(false);
});

test("output() ends a program when it is aborted", async () => {
  const ending = new AbortController();
  const { parts, pid } = await begin(ending.signal);
  const next = parts.next();
  ending.abort(new Error("SIGTERM"));
  await expect(next).rejects.toThrow("SIGTERM");
  await expect.poll(() => lives(pid)).toBe(false);
});
