import { expect, test } from "vitest";
import { looseEnds } from "../../src/config/loose-ends.ts";
import { parseConfig } from "../../src/config/parse-config.ts";
import { configText, PREDECESSORS } from "./sample.ts";

test("looseEnds() finds policies of what is not replicated", () => {
  const byName = { web1: "1", web9: "2", wbe1: "3", "db.1": "4" };
  const text = configText({
    projects: [
      { name: "default", instances: [{ name: "web1" }] },
      { name: "default", mode: "pull", instances: [{ name: "web[2-9]" }] },
    ],
    retention: {
      hosts: {
        source: { projects: { default: { instances: { byName }, volumes: { byName: { web1: "5" } } } } },
        target: { projects: { shop: { default: "6" } } },
      },
    },
  });
  expect(looseEnds(parseConfig(text))).toEqual([
    "retention.hosts.source.projects.default.instances.byName.wbe1: none of the instances replicated has that name",
    'retention.hosts.source.projects.default.instances.byName."db.1": none of the instances replicated has that name',
    "retention.hosts.source.projects.default.volumes.byName.web1: none of the volumes replicated has that name",
    "retention.hosts.target.projects.shop: no project of that name is replicated",
  ]);
});

test("looseEnds() finds none in a configuration whose policies all apply", () => {
  expect(looseEnds(parseConfig(JSON.stringify(PREDECESSORS)))).toEqual([]);
});
