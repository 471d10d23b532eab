import { buildSync } from "esbuild";
import { expect, test } from "vitest";
import { systemProcesses } from "../../src/system/processes.ts";

const node = (script: string) => [process.execPath, "-e", script];
const processes = systemProcesses(200);

test("run() returns the exit code and both outputs, and hands lines of stderr on as they come", async ({ signal }) => {
  const lines: string[] = [];
  const script = "console.error('one'); console.error('two'); console.log('out'); process.exitCode = 3";
  const ended = await processes.run({ argv: node(script), onErrorLine: (line) => lines.push(line) }, signal);
  expect(ended).toEqual({ exitCode: 3, stdout: "out\n", stderr: "one\ntwo\n" });
  expect(lines).toEqual(["one", "two"]);
});

test("run() feeds the input, and does not mind a program that leaves it", async ({ signal }) => {
  const ended = await processes.run({ argv: ["cat"], input: "hello" }, signal);
  expect(ended.stdout).toBe("hello");
  expect(await processes.run({ argv: ["true"], input: "x".repeat(1_000_000) }, signal)).toMatchObject({ exitCode: 0 });
});

test("run() takes its argv literally: no shell reads it", async ({ signal }) => {
  const ended = await processes.run({ argv: ["printf", "%s", "$HOME; `id`"] }, signal);
  expect(ended.stdout).toBe("$HOME; `id`");
});

test("run() keeps our environment to itself but for what programs need", async ({ signal }) => {
  process.env["IAB_TEST_SECRET"] = "hidden";
  const { stdout } = await processes.run({ argv: ["env"], environment: { GIVEN: "yes" } }, signal);
  delete process.env["IAB_TEST_SECRET"];
  expect(stdout).toContain("GIVEN=yes");
  expect(stdout).toContain("PATH=");
  expect(stdout).not.toContain("IAB_TEST_SECRET");
});

test("run() says which program is missing", async ({ signal }) => {
  await expect(processes.run({ argv: ["iab-no-such-program"] }, signal)).rejects.toMatchObject({
    code: "files.unusable",
    message: expect.stringContaining("Cannot run iab-no-such-program"),
  });
});

test("run() ends a program gently when it is cancelled", async () => {
  const ending = new AbortController();
  const script =
    "process.on('SIGTERM', () => { console.error('bye'); process.exit(0); }); console.error('up'); setInterval(() => {}, 1000)";
  const lines: string[] = [];
  const onErrorLine = (line: string) => {
    lines.push(line);
    if (line === "up") ending.abort("SIGTERM");
  };
  await expect(processes.run({ argv: node(script), onErrorLine }, ending.signal)).rejects.toBe("SIGTERM");
  expect(lines).toEqual(["up", "bye"]);
});

test("run() ends a program at once where nothing is to be hoped for", async () => {
  const hopeless = new AbortController();
  const script = "trap 'echo heard >&2' TERM; echo up >&2; while :; do sleep 0.1; done";
  const lines: string[] = [];
  const onErrorLine = (line: string) => {
    lines.push(line);
    hopeless.abort();
  };
  const command = { argv: ["bash", "-c", script], onErrorLine, killOn: hopeless.signal, graceMs: 60_000 };
  expect((await processes.run(command, AbortSignal.timeout(10_000))).exitCode).toBe(137);
  expect(lines).toEqual(["up"]);
});

test("run() ends a program hard, with its children, when it does not go gently", async () => {
  const ending = new AbortController();
  const script = "trap '' TERM; echo up >&2; while :; do sleep 1000; done";
  const onErrorLine = () => ending.abort("SIGINT");
  await expect(processes.run({ argv: ["bash", "-c", script], onErrorLine }, ending.signal)).rejects.toBe("SIGINT");
});

test("run() reports a program that a signal ended as shells do", async ({ signal }) => {
  expect(await processes.run({ argv: ["bash", "-c", "kill -9 $$"] }, signal)).toMatchObject({ exitCode: 137 });
});

test("run() feeds a stream as fast as the program takes it, and to its end", async ({ signal }) => {
  async function* megabytes() {
    for (let at = 0; at < 20; at++) yield Buffer.alloc(1_000_000, at);
  }
  const ended = await processes.run({ argv: ["wc", "-c"], input: megabytes() }, signal);
  expect(ended.stdout.trim()).toBe("20000000");
});

test("run() lets no program outlive us that reads a stream of ours", async ({ signal }) => {
  async function* stream() {
    yield Buffer.from("half");
  }
  const fate = async (input: string | AsyncIterable<Uint8Array>) =>
    (await processes.run({ argv: ["setpriv", "--dump"], input }, signal)).stdout.match(
      /^Parent death signal: .*/m,
    )?.[0];
  expect(await fate(stream())).toBe("Parent death signal: KILL");
  expect(await fate("whole")).toBe("Parent death signal: [none]");
});

test("run() kills a program before its input ends where the stream breaks", async ({ signal }) => {
  const broken = new Error("the stream broke");
  async function* stream() {
    yield Buffer.from("half");
    throw broken;
  }
  const lines: string[] = [];
  const script = "process.stdin.resume().on('end', () => console.error('took it for the whole'))";
  const command = { argv: node(script), input: stream(), onErrorLine: (line: string) => lines.push(line) };
  await expect(processes.run(command, signal)).rejects.toBe(broken);
  expect(lines).toEqual([]);
});

test("run() tells a program of its end before its stream closes", async () => {
  const ending = new AbortController();
  async function* stream() {
    yield Buffer.from("half");
    await new Promise(() => {});
  }
  const script = `process.on('SIGTERM', () => console.error('told')); console.error('up');
    process.stdin.resume().on('end', () => { console.error('end'); process.exit(); })`;
  const lines: string[] = [];
  const onErrorLine = (line: string) => {
    lines.push(line);
    if (line === "up") ending.abort("SIGTERM");
  };
  const patient = { argv: node(script), input: stream(), onErrorLine, graceMs: 20_000 };
  await expect(processes.run(patient, ending.signal)).rejects.toBe("SIGTERM");
  expect(lines).toEqual(["up", "told", "end"]);
});

test("run() can let a program write to our own stdout", async ({ signal }) => {
  const contents = `import { systemProcesses } from "./src/system/processes.ts";
    await systemProcesses().run({ argv: ["echo", "straight"], toOurStdout: true }, AbortSignal.timeout(10000));`;
  const bundled = buildSync({
    stdin: { contents, resolveDir: process.cwd() },
    bundle: true,
    platform: "node",
    format: "esm",
    write: false,
  });
  const script = bundled.outputFiles[0]?.text ?? "";
  const argv = [process.execPath, "--input-type=module", "-e", script];
  expect(await processes.run({ argv }, signal)).toEqual({ exitCode: 0, stdout: "straight\n", stderr: "" });
});
