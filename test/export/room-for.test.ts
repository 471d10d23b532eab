import { expect, test } from "vitest";
import { refuseWithoutRoom } from "../../src/export/room-for.ts";
import { AgentError, IncusRefusal } from "../../src/model/errors.ts";
import type { Space } from "../../src/model/state.ts";

const MIB = 2 ** 20;
const wanted = { pool: "local", sizeBytes: 40 * MIB, what: "web1", orElse: "" };

function serverThat(space: () => Space | undefined) {
  return { space: async () => space() };
}

const enough: { name: string; space: () => Space | undefined }[] = [
  { name: "a pool has the room", space: () => ({ usedBytes: 60 * MIB, totalBytes: 100 * MIB }) },
  { name: "the driver does not tell", space: () => undefined },
  {
    name: "a restricted certificate may not ask",
    space: () => {
      throw new IncusRefusal(403, "Certificate is restricted");
    },
  },
];
test.each(enough)("refuseWithoutRoom() lets a restore begin where $name", async ({ space }) => {
  await refuseWithoutRoom(serverThat(space), wanted, AbortSignal.timeout(5000));
});

test("refuseWithoutRoom() refuses what a pool has no room for, and names both sizes", async ({ signal }) => {
  const server = serverThat(() => ({ usedBytes: 61 * MIB, totalBytes: 100 * MIB }));
  await expect(refuseWithoutRoom(server, wanted, signal)).rejects.toMatchObject({
    code: "storage.full",
    message: "Cannot restore web1: it takes 40 MiB, and the pool local has 39 MiB left",
    hint: expect.stringContaining("--pool"),
  });
});

test("refuseWithoutRoom() does not take a server that is away for one that does not tell", async ({ signal }) => {
  const server = serverThat(() => {
    throw new AgentError("incus.unreachable", "Cannot reach prod");
  });
  await expect(refuseWithoutRoom(server, wanted, signal)).rejects.toMatchObject({ code: "incus.unreachable" });
});
