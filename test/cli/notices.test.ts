import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { AgentError } from "../../src/model/errors.ts";
import { CONFIG, stage } from "./stage.ts";

type Heard = { readonly path: string; readonly rid: string | null; readonly body: string };

let heard: Heard[] = [];
let status = 200;

/** Healthchecks and Gotify in one. */
const service = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => {
    body += String(chunk);
  });
  request.on("end", () => {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    heard.push({ path: url.pathname, rid: url.searchParams.get("rid"), body });
    response.writeHead(status).end();
  });
});

let address: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
});
afterAll(() => service.close());
afterEach(() => {
  heard = [];
  status = 200;
});

/** The stage with both services in the configuration: the one by its address, the other by a file. */
function noticed(more: object = {}) {
  const iab = { ...CONFIG.iab, healthchecksUrl: `${address}/ping/x`, gotifyUrl: { file: "/etc/iab/gotify-url" } };
  const staged = stage({ ...CONFIG, iab, ...more });
  staged.world.texts.set("/etc/iab/gotify-url", `${address}/message?token=a\n`);
  return staged;
}

const paths = () => heard.map(({ path }) => path).sort();

test("iab run tells Healthchecks its beginning and its end, by one id, and Gotify nothing where all went well", async () => {
  const { run } = noticed();
  expect(await run()).toMatchObject({ exitCode: 0 });
  expect(paths()).toEqual(["/ping/x/0", "/ping/x/start"]);
  expect(new Set(heard.map(({ rid }) => rid)).size).toBe(1);
  expect(heard.find(({ path }) => path === "/ping/x/0")?.body).toContain("exit code 0");
});

test("iab run tells both services of a run that failed", async () => {
  const { both, run } = noticed();
  both.intercept = async ({ verb }, effect) => {
    if (verb === "createSnapshot") throw new AgentError("incus.refused", "No room for a snapshot");
    effect();
  };
  expect(await run()).toMatchObject({ exitCode: 3 });
  expect(paths()).toEqual(["/message", "/ping/x/3", "/ping/x/start"]);
  for (const { body } of heard.filter(({ path }) => path !== "/ping/x/start")) expect(body).toContain("No room");
});

test("iab run tells both services of a configuration that cannot be used, wherever their addresses stand", async () => {
  const { run } = noticed({ projcets: [] });
  expect(await run()).toMatchObject({ exitCode: 4 });
  expect(paths()).toEqual(["/message", "/ping/x/4"]);
  for (const { body } of heard) expect(body).toContain("projcets");
});

test("iab run is not failed by services that fail", async () => {
  status = 404;
  const { run, world } = noticed();
  expect(await run()).toMatchObject({ exitCode: 0, stderr: "" });
  expect(world.logged.filter(({ event }) => event === "notice.failed")).toHaveLength(2);
});

test("iab run that finds another one at work tells nobody", async () => {
  const { run, world } = noticed();
  await world.files.lock("./config.json");
  expect(await run()).toMatchObject({ exitCode: 11 });
  expect(heard).toEqual([]);
});
