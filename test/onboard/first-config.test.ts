import { expect, test } from "vitest";
import { jobsOf } from "../../src/config/jobs-of.ts";
import { parseConfig } from "../../src/config/parse-config.ts";
import { firstConfig } from "../../src/onboard/first-config.ts";
import { DEFAULT_PROJECT, instance, type ServerSeed, stateOf, volume } from "../plan/fixtures.ts";

/** The workloads of the first configuration between two servers, each with the place of its replica. */
function firstJobs(source: ServerSeed, target: ServerSeed) {
  const text = firstConfig({
    credentialsFolder: "/etc/iab/credentials",
    uuid: "",
    sourceUrl: "https://192.0.2.10:8443",
    targetUrl: "https://192.0.2.11:8443",
    healthchecksUrl: undefined,
    names: { source: "prod", target: "backup" },
    state: stateOf(source, target),
  });
  return jobsOf(parseConfig(text), { iosFix: true }).map(({ source: from, target: to }) => {
    const place = "pool" in to ? `${to.project}/${to.pool}/${to.name}` : `${to.project}/${to.name}`;
    return `${from.project}/${"pool" in from ? `${from.pool}/` : ""}${from.name} to ${place}`;
  });
}

const pools = (...names: string[]) => names.map((name) => ({ name, driver: "dir" }));

test("firstConfig() names what is on the source, but nothing that goes when it stops, and no empty project", () => {
  const office = { ...DEFAULT_PROJECT, name: "office" };
  const source = {
    projects: [DEFAULT_PROJECT, office, { ...office, name: "empty" }],
    instances: [instance("web1"), instance("mail", { project: "office" }), instance("passing", { ephemeral: true })],
    volumes: [volume("data")],
  };
  expect(firstJobs(source, {})).toEqual([
    "default/default/data to default/default/data",
    "default/web1 to default/web1",
    "office/mail to office/mail",
  ]);
});

test("firstConfig() can be used where volumes of one name lie in pools that the target lacks", () => {
  const volumes = ["a", "b", "local"].map((pool) => volume("data", { pool }));
  expect(firstJobs({ pools: pools("a", "b", "local"), volumes }, { pools: pools("local") })).toEqual([
    "default/a/data to default/a/data",
    "default/b/data to default/b/data",
    "default/local/data to default/local/data",
  ]);
  expect(firstJobs({ pools: pools("a", "b"), volumes: volumes.slice(0, 2) }, { pools: pools("tank") })).toEqual([
    "default/a/data to default/tank/data",
    "default/b/data to default/b/data",
  ]);
});

test("firstConfig() names volumes of one name on two members of a cluster once", () => {
  const volumes = ["node1", "node2"].map((location) => volume("data", { location }));
  expect(firstJobs({ volumes }, {})).toEqual(["default/default/data to default/default/data"]);
});
