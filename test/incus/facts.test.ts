import { expect, test } from "vitest";
import { REQUIRED_EXTENSIONS } from "../../src/incus/capabilities.ts";
import { readFacts } from "../../src/incus/facts.ts";
import { connectTo, refuse, serve, sync } from "./local-server.ts";

const environment = {
  server: "incus",
  server_name: "alpha",
  server_version: "7.0.2",
  server_clustered: true,
  addresses: ["192.0.2.1:8443", "[2001:db8::1]:8443"],
  certificate: "PEM",
  certificate_fingerprint: "ab",
  driver: "lxc | qemu",
};
const root = {
  auth: "trusted",
  auth_user_name: "ff",
  auth_user_method: "tls",
  api_extensions: [...REQUIRED_EXTENSIONS],
  environment,
};

type Answers = { readonly root?: unknown; readonly own?: unknown; readonly refusal?: number };

async function factsOf(answers: Answers, url?: string) {
  const server = await serve(({ response, path }) => {
    if (path === "/1.0") sync(response, answers.root ?? root);
    else if (answers.refusal !== undefined) refuse(response, answers.refusal, "no");
    else sync(response, answers.own ?? { restricted: false });
  });
  const connection = connectTo(server);
  return readFacts(url === undefined ? connection : { ...connection, url }, new AbortController().signal);
}

test("readFacts() tells who a server is", async () => {
  expect(await factsOf({}, "https://prod.example:8443")).toMatchObject({
    host: "prod",
    serverName: "alpha",
    version: "7.0.2",
    addresses: ["https://prod.example:8443", "https://192.0.2.1:8443", "https://[2001:db8::1]:8443"],
    certificate: "PEM",
    fingerprint: "ab",
    clustered: true,
    restricted: false,
    instanceTypes: ["container", "virtual-machine"],
  });
});

const own = [
  { url: "https://192.0.2.1:8443", first: "https://192.0.2.1:8443", count: 2 },
  { url: "https://127.0.0.1:9999", first: "https://192.0.2.1:8443", count: 3 },
  { url: "https://localhost:9999", first: "https://192.0.2.1:8443", count: 3 },
];

test.each(own)("readFacts() puts the address that others can use best first: $url", async ({ url, first, count }) => {
  const { addresses } = await factsOf({}, url);
  expect(addresses[0]).toBe(first);
  expect(addresses).toHaveLength(count);
  expect(addresses).toContain(url);
});

const rights: { name: string; answers: Answers; restricted: boolean }[] = [
  { name: "restricted", answers: { own: { restricted: true, projects: ["a"] } }, restricted: true },
  { name: "unrestricted", answers: { own: { restricted: false, projects: null } }, restricted: false },
  { name: "no entry, as with a CA", answers: { refusal: 404 }, restricted: false },
  { name: "no rights to see the entry", answers: { refusal: 403 }, restricted: false },
  {
    name: "another way to log in",
    answers: { root: { ...root, auth_user_method: "oidc" }, own: 1 },
    restricted: false,
  },
];

test.each(rights)("readFacts() tells the certificate's rights: $name", async ({ answers, restricted }) => {
  expect((await factsOf(answers)).restricted).toBe(restricted);
});

const unusable: { name: string; root: unknown; problem: object }[] = [
  {
    name: "that does not trust us, as 6.0 says it",
    root: { ...root, auth: "untrusted", environment: null },
    problem: { code: "incus.refused", status: 403, hint: expect.stringContaining("Onboard") },
  },
  {
    name: "that does not trust us, as 7.0 says it",
    root: { auth: "untrusted", api_extensions: null },
    problem: { code: "incus.refused", status: 403 },
  },
  {
    name: "that is LXD",
    root: { ...root, environment: { ...environment, server: "lxd", server_version: "5.21" } },
    problem: { code: "incus.refused", message: expect.stringContaining("it runs lxd 5.21") },
  },
  {
    name: "that is too old",
    root: { ...root, api_extensions: REQUIRED_EXTENSIONS.slice(1) },
    problem: { code: "incus.refused", message: expect.stringContaining(`it lacks ${REQUIRED_EXTENSIONS[0]}`) },
  },
  {
    name: "whose version is a number",
    root: { ...root, environment: { ...environment, server_version: 7 } },
    problem: { code: "incus.bad-reply", message: expect.stringContaining("environment.server_version") },
  },
];

test.each(unusable)("readFacts() refuses a server $name", async ({ root: given, problem }) => {
  await expect(factsOf({ root: given })).rejects.toMatchObject(problem);
});
