import { HttpResponse, http } from "msw";
import { setupServer } from "msw/node";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Clock, Log, LogFacts } from "../../src/model/ports.ts";
import { Secret } from "../../src/model/secret.ts";
import { gotify } from "../../src/notify/gotify.ts";
import { healthchecks, pingAddress } from "../../src/notify/healthchecks.ts";
import { ensureCheck } from "../../src/notify/healthchecks-check.ts";
import { listeningService } from "./listening-service.ts";

const { address, heard: pings, answers } = listeningService();

const clock: Clock = { now: () => 0, sleep: async () => undefined };
const RUN = "3f2c1f0e-0000-4000-8000-000000000001";

test("healthchecks() tells the start and the exit code with the report, both with the run's id", async ({ signal }) => {
  const notifier = healthchecks(new Secret(`${address()}/ping/secret-uuid/`), RUN, clock, recorder().log);
  await notifier.started(signal);
  await notifier.ended(3, "one copy failed", signal);
  expect(pings).toEqual([
    { path: "/ping/secret-uuid/start", query: `?rid=${RUN}`, body: "" },
    { path: "/ping/secret-uuid/3", query: `?rid=${RUN}`, body: "one copy failed" },
  ]);
});

test("healthchecks() takes a run that its window has ended for no failure", async ({ signal }) => {
  await healthchecks(new Secret(`${address()}/ping/x`), RUN, clock, recorder().log).ended(
    75,
    "the window closed",
    signal,
  );
  expect(pings).toEqual([{ path: "/ping/x/0", query: `?rid=${RUN}`, body: "the window closed" }]);
});

test("healthchecks() tries again when the service is busy", async ({ signal }) => {
  answers.push(503, 429);
  await healthchecks(new Secret(`${address()}/ping/x`), RUN, clock, recorder().log).ended(0, "", signal);
  expect(pings.map((ping) => ping.path)).toEqual(["/ping/x/0", "/ping/x/0", "/ping/x/0"]);
});

test("healthchecks() does not insist when the service knows no such check", async ({ signal }) => {
  answers.push(404);
  const { log, lines } = recorder();
  await healthchecks(new Secret(`${address()}/ping/gone`), RUN, clock, log).started(signal);
  expect(pings).toHaveLength(1);
  expect(lines).toEqual([
    ["notice.failed", { service: "healthchecks", what: "start", why: "the service answered 404" }],
  ]);
});

test("a service that cannot be reached is a warning without its address", async ({ signal }) => {
  const { log, lines } = recorder();
  await healthchecks(new Secret("http://127.0.0.1:1/ping/secret-uuid"), RUN, clock, log).ended(1, "", signal);
  expect(JSON.stringify(lines)).toContain("ECONNREFUSED");
  expect(JSON.stringify(lines)).not.toContain("secret-uuid");
});

test("healthchecks() sends the end of a report that is too long", async ({ signal }) => {
  const report = `${"x".repeat(60_000)} the end`;
  await healthchecks(new Secret(`${address()}/ping/x`), RUN, clock, recorder().log).ended(3, report, signal);
  expect(pings[0]?.body.length).toBeLessThan(30_000);
  expect(pings[0]?.body.endsWith("the end")).toBe(true);
});

const addresses = [
  { name: "a uuid", from: "https://hc.example/ping/u", to: "https://hc.example/ping/u/start?rid=r" },
  { name: "a trailing slash", from: "https://hc.example/ping/u/", to: "https://hc.example/ping/u/start?rid=r" },
  {
    name: "a slug that may be created",
    from: "https://hc.example/k/s?create=1",
    to: "https://hc.example/k/s/start?create=1&rid=r",
  },
];
test.each(addresses)("pingAddress() of $name", ({ from, to }) => {
  expect(pingAddress(from, "start", "r")).toBe(to);
});

test("gotify() sends a message when the run failed", async ({ signal }) => {
  await gotify(new Secret(`${address()}/message?token=app`), clock, recorder().log).ended(3, "db: refused", signal);
  expect(pings).toHaveLength(1);
  expect(pings[0]).toMatchObject({ path: "/message", query: "?token=app" });
  expect(JSON.parse(pings[0]?.body ?? "")).toEqual({
    title: "IAB Backup failed",
    message: "The run ended with exit code 3.\n\ndb: refused",
    priority: 5,
  });
});

test("gotify() sends the end of a long report, which says what failed", async ({ signal }) => {
  const report = `${"db: done\n".repeat(1_000)}web1: refused`;
  await gotify(new Secret(`${address()}/message?token=app`), clock, recorder().log).ended(3, report, signal);
  const { message } = JSON.parse(pings[0]?.body ?? "") as { message: string };
  expect(message).toMatch(/^The run ended with exit code 3\.\n\n…\n[\s\S]*web1: refused$/);
  expect(message.length).toBeLessThan(4_100);
});

test.each([0, 11, 75])("gotify() keeps quiet at exit code %i", async (exitCode) => {
  const notifier = gotify(new Secret(`${address()}/message?token=app`), clock, recorder().log);
  const { signal } = new AbortController();
  await notifier.started(signal);
  await notifier.ended(exitCode, "fine", signal);
  expect(pings).toEqual([]);
});

const management = setupServer();
const check = { name: "iab prod", everyMs: 86_400_000, graceMs: 3_600_000 };
beforeAll(() => management.listen({ onUnhandledRequest: "bypass" }));
afterEach(() => management.resetHandlers());
afterAll(() => management.close());

test("ensureCheck() creates the check once by its name and returns its address", async () => {
  let asked: unknown;
  let key: string | null = null;
  management.use(
    http.post("https://hc.test/api/v1/checks/", async ({ request }) => {
      asked = await request.json();
      key = request.headers.get("x-api-key");
      return HttpResponse.json({ ping_url: "https://hc.test/ping/1" }, { status: 201 });
    }),
  );
  await expect(ensureCheck(check, new Secret("key-1"), "https://hc.test")).resolves.toBe("https://hc.test/ping/1");
  expect(key).toBe("key-1");
  expect(asked).toMatchObject({ name: "iab prod", timeout: 86_400, grace: 3_600, unique: ["name"] });
});

test("ensureCheck() says what is wrong with the key, and does not show it", async () => {
  management.use(http.post("https://hc.test/api/v1/checks/", () => HttpResponse.json({}, { status: 401 })));
  const refused = ensureCheck(check, new Secret("key-2"), "https://hc.test");
  await expect(refused).rejects.toMatchObject({ code: "notify.refused", hint: expect.stringContaining("not valid") });
  await expect(refused).rejects.not.toThrow(/key-2/);
});

test("ensureCheck() refuses an answer without an address to ping", async () => {
  management.use(http.post("https://hc.test/api/v1/checks/", () => HttpResponse.json({ name: "iab prod" })));
  const refused = ensureCheck(check, new Secret("key-3"), "https://hc.test");
  await expect(refused).rejects.toMatchObject({ code: "notify.refused" });
});

function recorder(): { log: Log; lines: [string, LogFacts | undefined][] } {
  const lines: [string, LogFacts | undefined][] = [];
  const line = (event: string, facts?: LogFacts): void => void lines.push([event, facts]);
  return { lines, log: { debug: () => undefined, info: line, warn: line, error: line } };
}
