import { expect, test } from "vitest";
import type { Config } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/parse-config.ts";
import { HOUR_MS } from "../../src/model/time.ts";
import { configText, PREDECESSORS } from "./sample.ts";

function reveal(ref: Config["gotifyUrl"]): string | undefined {
  return ref?.kind === "value" ? ref.secret.reveal() : undefined;
}

test("parseConfig() takes every key of IAB 1.2.0, in any case, with its empty texts and nulls", () => {
  const config = parseConfig(JSON.stringify(PREDECESSORS));
  expect(config).toMatchObject({
    credentialsFolder: "./credentials",
    uuid: undefined,
    hosts: {
      source: { name: "source", url: "https://192.0.2.10:8443" },
      target: { name: "vault", url: "https://192.0.2.11:8443" },
    },
    projects: [
      {
        name: "default",
        targetProject: "default",
        mode: "pull",
        history: "mirror",
        instances: [
          { name: "web1", rootPool: "local", excludeDevices: [], stop: true },
          { name: "vm1", rootPool: undefined, excludeDevices: ["eth0", "data"], stop: true },
        ],
        volumes: [{ name: "data", pool: "extra", targetPool: "extra" }],
      },
      { name: "shop", mode: "push", instances: [], volumes: [] },
    ],
    offsite: undefined,
  });
  expect(reveal(config.healthchecksUrl)).toBe("https://hc.example/ping/11112222");
  expect(reveal(config.gotifyUrl)).toBe("https://gotify.example/message?token=TOKEN");
});

test("parseConfig() reads keys in other cases on every level", () => {
  const config = parseConfig(
    JSON.stringify({
      IAB: { IABCREDDIR: "/c", StopInstance: true },
      HOSTS: PREDECESSORS.hosts.map(({ name, role, url }) => ({ Name: name, Role: role, URL: url })),
      Projects: [{ NAME: "default", Instances: [{ Name: "a", ExcludeDevices: ["x"] }] }],
      Retention: { Hosts: { source: { Default: "3", PROJECTS: { default: { Instances: { ByName: { a: "4" } } } } } } },
    }),
  );
  expect(config.projects[0]?.instances[0]).toMatchObject({ name: "a", excludeDevices: ["x"], stop: true });
  expect(config.retention.source.default?.keepNewest).toBe(3);
  expect(config.retention.source.projects.get("default")?.instances.byName.get("a")?.keepNewest).toBe(4);
});

test("parseConfig() fills in what is left out", () => {
  expect(parseConfig(configText({ iab: { iabCredDir: "/c" } }))).toMatchObject({
    healthchecksUrl: undefined,
    gotifyUrl: undefined,
    concurrency: 4,
    operationTimeoutMs: 6 * HOUR_MS,
    bandwidthLimit: undefined,
    retention: { source: { default: undefined }, target: { default: undefined } },
  });
});

test("parseConfig() reads what is new since IAB 1.2.0", () => {
  const config = parseConfig(
    configText({
      $schema: "config.schema.json",
      iab: {
        iabCredDir: "/c",
        concurrency: 2,
        operationTimeout: "1h30min",
        bandwidthLimit: { "22:00-06:00": "unlimited", "*": "20MiB/s" },
        healthchecksUrl: { file: "/run/secrets/hc" },
        gotifyUrl: { credential: "gotify" },
      },
      projects: [
        {
          name: "default",
          mode: "relay",
          history: "keep",
          targetProject: "replicas",
          target: "@storage",
          instances: [{ name: "web*", stop: true, target: "node2" }],
          volumes: [{ name: "data", storage: "local", targetStorage: "tank" }],
        },
      ],
    }),
  );
  expect(config).toMatchObject({
    concurrency: 2,
    operationTimeoutMs: 1.5 * HOUR_MS,
    bandwidthLimit: { windows: [{ from: 1320, to: 360, bytesPerSecond: undefined }], otherwise: 20 * 1024 ** 2 },
    healthchecksUrl: { kind: "file", path: "/run/secrets/hc" },
    gotifyUrl: { kind: "credential", name: "gotify" },
    projects: [
      {
        history: "keep",
        targetProject: "replicas",
        instances: [{ name: "web*", stop: true, targetMember: "node2" }],
        volumes: [{ name: "data", pool: "local", targetPool: "tank", targetMember: "@storage" }],
      },
    ],
  });
});

test("parseConfig() takes an instance's own word on stopping for more than the general one", () => {
  const projects = [{ name: "default", instances: [{ name: "a", stop: false }, { name: "b" }] }];
  const iab = { iabCredDir: "/c", stopInstance: true };
  const [project] = parseConfig(configText({ iab, projects })).projects;
  expect(project?.instances.map(({ stop }) => stop)).toEqual([false, true]);
});

test("parseConfig() shows no secret in what it returns", () => {
  const offsite = {
    repository_password: "hunter2",
    backend: { type: "s3", s3: { endpoint: "s3.example", bucket: "b", access_key: "hunter2", secret_key: "hunter2" } },
  };
  const iab = { iabCredDir: "/c", gotifyUrl: "https://g.example/message?token=hunter2" };
  expect(JSON.stringify(parseConfig(configText({ iab, offsite })))).not.toContain("hunter2");
});

test("parseConfig() reads a file with a byte order mark", () => {
  expect(parseConfig(`\uFEFF${configText()}`).projects).toEqual([]);
});
