import { expect, test } from "vitest";
import { AgentError } from "../../src/model/errors.ts";
import { Secret } from "../../src/model/secret.ts";
import { type LogSettings, openLog } from "../../src/system/log.ts";

function logTo(settings: Partial<LogSettings> = {}) {
  const lines: string[] = [];
  const log = openLog({ level: "info", pretty: false, colour: false, ...settings }, (line) => void lines.push(line));
  return { log, lines };
}

test("openLog() writes one JSON object a line, event and facts", () => {
  const { log, lines } = logTo();
  log.warn("device.dropped", { unit: "default/web1", token: new Secret("s3cret") });
  log.debug("unseen");
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? "")).toEqual({
    level: "warn",
    time: expect.stringMatching(/^\d{4}-.*Z$/),
    unit: "default/web1",
    token: "[secret]",
    event: "device.dropped",
  });
});

test("openLog() tells errors by code, message and hint, and shows a stack at debug only", () => {
  const error = new AgentError("incus.refused", "No", { hint: "Ask again", cause: new Error("deep") });
  const quiet = logTo();
  quiet.log.error("step.failed", { error });
  expect(JSON.parse(quiet.lines[0] ?? "").error).toEqual({ code: "incus.refused", message: "No", hint: "Ask again" });
  const loud = logTo({ level: "debug" });
  loud.log.error("step.failed", { error });
  expect(JSON.parse(loud.lines[0] ?? "").error).toMatchObject({
    stack: expect.stringContaining("log.test.ts"),
    cause: { type: "Error", message: "deep" },
  });
});

test("openLog() writes lines that people read, with colour only where it is wanted", () => {
  const plain = logTo({ pretty: true });
  plain.log.warn("device.dropped", { device: "eth1", why: "no network br1", count: 2 });
  expect(plain.lines[0]).toMatch(/^\d\d:\d\d:\d\d warn {2}device\.dropped device=eth1 why="no network br1" count=2$/);
  const coloured = logTo({ pretty: true, colour: true });
  coloured.log.error("step.failed");
  expect(coloured.lines[0]).toContain("\u001b[31merror\u001b[39m");
});
