import { expect, test } from "vitest";
import { sinkRequest, sourceRequest } from "../../src/incus/copy-requests.ts";
import { instanceCopy, volumeCopy } from "./copies.ts";

const peer = {
  operation: "https://192.0.2.10:8443/1.0/operations/1",
  secrets: { control: "c0", fs: "f5" },
  certificate: "PEM",
};

test("sourceRequest() offers an instance with all its snapshots", () => {
  expect(sourceRequest(instanceCopy({ allowInconsistent: true }), undefined)).toEqual({
    method: "POST",
    path: "/1.0/instances/web1",
    query: { project: "default" },
    body: { migration: true, name: "", live: false, instance_only: false, allow_inconsistent: true },
  });
});

test("sourceRequest() of a push names the peer to dial", () => {
  expect(sourceRequest(instanceCopy(), peer).body).toMatchObject({ migration: true, target: peer });
  expect(sourceRequest(volumeCopy(), peer).body).toMatchObject({ migration: true, target: peer });
});

test("sourceRequest() offers a volume by its name and pool", () => {
  expect(sourceRequest(volumeCopy(), undefined)).toEqual({
    method: "POST",
    path: "/1.0/storage-pools/local/volumes/custom/data",
    query: { project: "default" },
    body: { migration: true, name: "data", pool: "local", volume_only: false },
  });
});

test("sinkRequest() makes or refreshes an instance from a peer, never started and never without snapshots", () => {
  expect(sinkRequest(instanceCopy({ member: "node2" }), peer)).toEqual({
    method: "POST",
    path: "/1.0/instances",
    query: { project: "backup", target: "node2" },
    body: {
      name: "web1-replica",
      type: "container",
      architecture: "x86_64",
      description: "the front",
      config: { "boot.autostart": "false", "volatile.base_image": "abc123" },
      devices: { root: { type: "disk", path: "/", pool: "tank" } },
      profiles: ["default"],
      ephemeral: false,
      stateful: false,
      start: false,
      source: {
        type: "migration",
        mode: "pull",
        ...peer,
        "base-image": "abc123",
        refresh: true,
        refresh_exclude_older: true,
        live: false,
        instance_only: false,
        allow_inconsistent: false,
      },
    },
  });
});

test("sinkRequest() without a peer waits for whoever brings the data", () => {
  const { source } = sinkRequest(instanceCopy(), undefined).body as { source: object };
  expect(source).toMatchObject({ type: "migration", mode: "push" });
  expect(source).not.toHaveProperty("operation");
  expect(source).not.toHaveProperty("secrets");
});

test("sinkRequest() leaves the base image out where the instance has none", () => {
  const create = { ...instanceCopy().create, config: {} };
  const { source } = sinkRequest(instanceCopy({ create }), peer).body as { source: object };
  expect(source).not.toHaveProperty("base-image");
});

test("sinkRequest() makes or refreshes a volume of the source's content type in the target's pool", () => {
  expect(sinkRequest(volumeCopy(), peer)).toEqual({
    method: "POST",
    path: "/1.0/storage-pools/tank/volumes/custom",
    query: { project: "default", target: undefined },
    body: {
      name: "data",
      type: "custom",
      content_type: "block",
      description: "",
      config: { size: "67108864" },
      source: {
        type: "migration",
        mode: "pull",
        ...peer,
        name: "data",
        pool: "local",
        refresh: true,
        refresh_exclude_older: true,
        volume_only: false,
      },
    },
  });
});

test("both requests encode names that are no path", () => {
  const source = { kind: "volume", project: "p", pool: "a/b", name: "c d" } as const;
  expect(sourceRequest(volumeCopy({ source }), undefined).path).toBe("/1.0/storage-pools/a%2Fb/volumes/custom/c%20d");
});
