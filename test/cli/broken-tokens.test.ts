import { expect, test } from "vitest";
import { memoryWorld } from "../fakes/world/memory-world.ts";
import { iab } from "./iab.ts";

const WHOLE = {
  client_name: "iab",
  fingerprint: "ab".repeat(32),
  addresses: ["192.0.2.10:8443"],
  secret: "s3cret",
  expires_at: "0001-01-01T00:00:00Z",
};

function token(more: object = {}): string {
  return Buffer.from(JSON.stringify({ ...WHOLE, ...more })).toString("base64");
}

/** What somebody may hand in for a token. */
const broken: Readonly<Record<string, string>> = {
  "nothing at all": " ",
  "a token that was wrapped": `${token().slice(0, 60)}\n${token().slice(60)}`,
  "a token that was cut": token().slice(0, 41),
  "the name of the client": "iab-agent",
  "base64 of something else": btoa("hello"),
  "a join token of a cluster": btoa(JSON.stringify({ ...WHOLE, client_name: undefined, server_name: "two" })),
  "a token without a secret": token({ secret: "" }),
  "a token without addresses": token({ addresses: [] }),
  "a token with half a fingerprint": token({ fingerprint: "abcd" }),
  "a token that has expired": token({ expires_at: "2026-11-20T02:59:59Z" }),
};

async function onboardWith(text: string) {
  const world = memoryWorld({ files: { "/t": text }, environment: { HOME: "/home/me" } });
  const words = ["--sourceURL", "192.0.2.10", "--sourceToken", "@/t", "--targetURL", "192.0.2.11"];
  return { ...(await iab(["onboard", ...words], world)), texts: [...world.texts] };
}

test.each(Object.entries(broken))("iab onboard ends with 2 and changes nothing for %s", async (_name, text) => {
  const { exitCode, stdout, stderr, texts } = await onboardWith(text);
  expect([exitCode, stdout, texts]).toEqual([2, "", [["/t", text]]]);
  expect(stderr).not.toContain("s3cret");
  expect(stderr).not.toMatch(/[A-Za-z0-9+/]{30}/);
});

test("iab onboard says of each token what is wrong with it", async () => {
  const said = [];
  for (const [name, text] of Object.entries(broken)) said.push(`# ${name}\n${(await onboardWith(text)).stderr}\n`);
  await expect(said.join("\n")).toMatchFileSnapshot("../golden/broken-tokens.txt");
});
