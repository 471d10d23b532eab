import { expect, test } from "vitest";
import { AgentError } from "../../src/model/errors.ts";
import { listeningService } from "../notify/listening-service.ts";
import { CONFIG, stage } from "./stage.ts";

/** Healthchecks and Gotify in one. */
const { address, heard, answers } = listeningService();

/** The stage with both services in the configuration: the one by its address, the other by a file. */
function noticed(more: object = {}) {
  const iab = { ...CONFIG.iab, healthchecksUrl: `${address()}/ping/x`, gotifyUrl: { file: "/etc/iab/gotify-url" } };
  const staged = stage({ ...CONFIG, iab, ...more });
  staged.world.texts.set("/etc/iab/gotify-url", `${address()}/message?token=a\n`);
  return staged;
}

const paths = () => heard.map(({ path }) => path).sort();

test("iab run tells Healthchecks its beginning and its end, by one id, and Gotify nothing where all went well", async () => {
  const { run } = noticed();
  expect(await run()).toMatchObject({ exitCode: 0 });
  expect(paths()).toEqual(["/ping/x/0", "/ping/x/start"]);
  expect(new Set(heard.map(({ query }) => query)).size).toBe(1);
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
  answers.push(404, 404);
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
