import { expect, test } from "vitest";
import { noteOnReplica } from "../../src/execute/note-on-replica.ts";
import { memoryServers } from "../fakes/memory-servers/memory-servers.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { copyOf, volume } from "./steps.ts";

test("noteOnReplica() writes marks, but none on an ISO image, which cannot be changed", async () => {
  const { signal, clock } = memoryWorld();
  const { target, connect } = memoryServers(clock);
  const servers = connect();
  const data = volume("data");
  target.add(data);
  const copy = copyOf(data);
  if (copy.kind !== "volume") throw new Error("no volume");
  const iso = { ...copy, create: { ...copy.create, contentType: "iso" } } as const;
  await noteOnReplica(iso, servers.target, { "user.iab.guids": "{}" }, signal);
  expect(target.get(data).config).toEqual({});
  await noteOnReplica(copy, servers.target, { "user.iab.last": "IAB_20261120-040000" }, signal);
  expect(target.get(data).config).toEqual({ "user.iab.last": "IAB_20261120-040000" });
});
