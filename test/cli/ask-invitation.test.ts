import { expect, test } from "vitest";
import { askInvitation } from "../../src/cli/ask-invitation.ts";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { iab } from "./iab.ts";

const TOKEN = btoa(
  JSON.stringify({
    client_name: "iab",
    fingerprint: "a".repeat(64),
    addresses: ["192.0.2.10:8443", "198.51.100.1:8443"],
    secret: "s3cret",
    expires_at: "0001-01-01T00:00:00Z",
  }),
);
const NOTHING = { side: "source", url: undefined, token: undefined } as const;

test("askInvitation() asks for the token and for the address, and takes those in the token for an empty one", async () => {
  const world = memoryWorld({ answers: [` ${TOKEN}\n`, ""] });
  expect(await askInvitation(NOTHING, world)).toEqual({ side: "source", url: undefined, token: TOKEN });
  expect(world.said).toEqual([
    "Token of the source server (empty if it trusts this agent already): ",
    "Address of the source server (empty: 192.0.2.10:8443, 198.51.100.1:8443, whichever answers): ",
  ]);
});

test("askInvitation() says what is wrong with an answer, and asks again", async () => {
  const answers = ["nonsense!", TOKEN.slice(0, 40), TOKEN, "http://192.0.2.10", "192.0.2.10"];
  const world = memoryWorld({ answers });
  expect(await askInvitation(NOTHING, world)).toEqual({ side: "source", url: "192.0.2.10", token: TOKEN });
  expect(world.said.join("\n")).toContain("has characters that no token has");
  expect(world.said.join("\n")).toContain("it does not decode; was it cut?");
  expect(world.said.join("\n")).toContain("it begins with http://");
  expect(world.said.join("\n")).not.toContain("s3cret");
});

test("askInvitation() needs an address where there is no token, and asks for no address that is given", async () => {
  const world = memoryWorld({ answers: ["", "", "192.0.2.10"] });
  expect(await askInvitation(NOTHING, world)).toEqual({ side: "source", url: "192.0.2.10", token: undefined });
  const given = { side: "target", url: "https://192.0.2.11:8443", token: undefined } as const;
  expect(await askInvitation(given, memoryWorld({ answers: [TOKEN] }))).toEqual({ ...given, token: TOKEN });
});

test("iab onboard on a terminal shows the command for each server first, and ends when nobody answers", async () => {
  const world = memoryWorld({ onTerminal: true });
  expect(await iab(["onboard"], world)).toMatchObject({ exitCode: 130, stderr: "iab: The question was not answered" });
  expect(world.said[0]).toMatch(
    /on the source server: {2}incus config trust add iab\n.*on the target server: {2}incus/,
  );
  expect([...world.texts.keys()]).toEqual([]);
});

test("iab onboard asks nothing where nobody sits", async () => {
  const world = memoryWorld();
  expect(await iab(["onboard"], world)).toMatchObject({ exitCode: 2 });
  expect(world.said).toEqual([]);
});
