import { expect, test } from "vitest";
import { jobsOf } from "../../src/config/jobs-of.ts";
import { parseConfig } from "../../src/config/parse-config.ts";
import { type Job, SIDES } from "../../src/model/job.ts";
import { unitId } from "../../src/model/unit.ts";
import { configText, PREDECESSORS } from "./sample.ts";

function jobs(more: Readonly<Record<string, unknown>>, iosFix = false): Job[] {
  return jobsOf(parseConfig(configText(more)), { iosFix });
}

/** What a job keeps: `policy of the source | policy of the target`, by the workload. */
function policies(all: readonly Job[]): Record<string, string> {
  return Object.fromEntries(
    all.map(({ source, retention }) => [unitId(source), SIDES.map((side) => retention[side].text).join(" | ")]),
  );
}

const { projects, retention } = PREDECESSORS;

test("jobsOf() takes the policy of the name, the kind, the project or the host, whichever is the most particular", () => {
  expect(policies(jobs({ projects, retention }))).toEqual({
    "default/extra/data": "5,1h2d | 12,1d1y",
    "default/web1": "4,1h2d | 12,1d1y",
    "default/vm1": "3,1h2d | ",
  });
});

test("jobsOf() lets the target follow the source's policies under --iOSfix", () => {
  expect(policies(jobs({ projects, retention }, true))).toEqual({
    "default/extra/data": "5,1h2d | 5,1h2d",
    "default/web1": "4,1h2d | 4,1h2d",
    "default/vm1": "3,1h2d | 3,1h2d",
  });
});

test("jobsOf() gives kept history the target's own policy, whatever --iOSfix says", () => {
  const kept = projects.slice(0, 1).map((project) => ({ ...project, mode: "relay", history: "keep" }));
  expect(policies(jobs({ projects: kept, retention }, true))["default/web1"]).toBe("4,1h2d | 12,1d1y");
});

test("jobsOf() prunes nothing where no policy applies", () => {
  expect(policies(jobs({ projects }))).toMatchObject({ "default/web1": " | " });
});

test("jobsOf() addresses both sides, volumes before instances", () => {
  const project = {
    name: "shop",
    mode: "relay",
    targetProject: "replicas",
    target: "node1",
    instances: [{ name: "db", storage: "tank", excludeDevices: ["eth0"], stop: false }],
    volumes: [{ name: "data", storage: "local", targetStorage: "tank" }],
  };
  expect(jobs({ projects: [project] })).toMatchObject([
    {
      kind: "volume",
      source: { kind: "volume", project: "shop", pool: "local", name: "data" },
      target: { kind: "volume", project: "replicas", pool: "tank", name: "data" },
      mode: "relay",
      history: "mirror",
      targetMember: "node1",
    },
    {
      kind: "instance",
      source: { kind: "instance", project: "shop", name: "db" },
      target: { kind: "instance", project: "replicas", name: "db" },
      rootPool: "tank",
      excludeDevices: ["eth0"],
      stop: false,
      targetMember: "node1",
    },
  ]);
});

test("jobsOf() hands a glob on, with the policies of the names that it stands for", () => {
  const byName = { web1: "1", web2: "2", db: "9", "web*": "7" };
  const [job] = jobs({
    projects: [{ name: "default", instances: [{ name: "web*" }] }],
    retention: {
      hosts: {
        source: { default: "5", projects: { default: { instances: { byName } } } },
        target: { projects: { default: { instances: { byName: { web3: "3" } } } } },
      },
    },
  });
  expect(job?.source.name).toBe("web*");
  expect(job?.target.name).toBe("web*");
  expect(job?.retention.source.text).toBe("7");
  const texts = Object.entries(job?.retentionByName ?? {}).map(([name, own]) => [
    name,
    own.source.text,
    own.target.text,
  ]);
  expect(texts).toEqual([
    ["web1", "1", ""],
    ["web2", "2", ""],
    ["web3", "7", "3"],
  ]);
});
