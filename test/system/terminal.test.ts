import { PassThrough } from "node:stream";
import type { ReadStream, WriteStream } from "node:tty";
import { expect, test } from "vitest";
import { openTerminal } from "../../src/system/terminal.ts";

test("ask() shows a question for something hidden only once the terminal has stopped echoing", async () => {
  const events: string[] = [];
  const setRawMode = (raw: boolean) => events.push(raw ? "echo off" : "echo on");
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode });
  const output = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
  output.setEncoding("utf8").on("data", (text: string) => events.push(text));
  const streams = {
    stdin: stdin as unknown as ReadStream,
    stdout: output as unknown as WriteStream,
    stderr: output as unknown as WriteStream,
  };
  const terminal = openTerminal(streams, { print: () => {}, printError: () => {}, draw: () => {} });
  const answer = terminal.ask("Token: ", { hidden: true }, AbortSignal.timeout(10_000));
  stdin.write("a secret\r");
  expect(await answer).toBe("a secret");
  expect(events.slice(0, 2)).toEqual(["echo off", "Token: "]);
  expect(events.join("")).not.toContain("secret");
});
