import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { kopiaClient } from "../../src/kopia/client.ts";
import { configText } from "../../src/kopia/config-file.ts";
import { openArchive, prepareArchive } from "../../src/kopia/open-archive.ts";
import { storageOf } from "../../src/kopia/storage.ts";
import { Secret } from "../../src/model/secret.ts";
import { systemProcesses } from "../../src/system/processes.ts";
import { openLab } from "../lab/lab.ts";
import { archiveOptions, BACKENDS, offsiteConfig, s3Block, scratchFolder } from "./kopia-lab.ts";

const lab = openLab();

const wrong: { name: string; block: () => object; code: string }[] = [
  {
    name: "a bucket that is not there",
    block: () => s3At(`http://${lab.s3().plain.endpoint}`, { bucket: `no-${randomUUID()}` }),
    code: "kopia.no-bucket",
  },
  {
    name: "a wrong access key",
    block: () => s3At(`http://${lab.s3().plain.endpoint}`, { access_key: "nobody-at-all" }),
    code: "kopia.denied",
  },
  {
    name: "a wrong secret key",
    block: () => s3At(`http://${lab.s3().plain.endpoint}`, { secret_key: "wrong-secret-key" }),
    code: "kopia.denied",
  },
  { name: "a port that nobody listens on", block: () => s3At("https://127.0.0.1:1"), code: "kopia.unreachable" },
  { name: "an unknown CA", block: () => s3At(`https://${lab.s3().tls.endpoint}`), code: "kopia.certificate" },
  {
    name: "plain http where TLS is asked for",
    block: () => s3At(`https://${lab.s3().plain.endpoint}`),
    code: "kopia.certificate",
  },
  { name: "a folder that is not there", block: () => folderAt("/nonexistent/repository"), code: "kopia.unreachable" },
  { name: "another SSH host key", block: () => sftpAt({ known_hosts: otherHostKey() }), code: "kopia.host-key" },
  { name: "a folder that holds something else", block: foreignFolder, code: "kopia.foreign" },
];

/** What Amazon's S3 says to a client whose clock is a quarter of an hour off. */
const SKEWED = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>RequestTimeTooSkewed</Code>
<Message>The difference between the request time and the current time is too large.</Message></Error>`;

test.each(wrong)("prepareArchive() says what is wrong with $name", async ({ block, code }) => {
  const options = archiveOptions(offsiteConfig(block(), { create: true }));
  await expect(prepareArchive(options, AbortSignal.timeout(120_000))).rejects.toMatchObject({
    code,
    hint: expect.any(String),
  });
});

test("prepareArchive() says that the clocks are too far apart where S3 says so", async ({ signal }) => {
  const server = createHttpServer((_request, response) => {
    response.writeHead(403, { "content-type": "application/xml" }).end(SKEWED);
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const block = s3At(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await expect(prepareArchive(archiveOptions(offsiteConfig(block)), signal)).rejects.toMatchObject({
    code: "kopia.clock",
    hint: expect.any(String),
  });
});

test("openArchive() tells a wrong password from a missing repository, and does no harm", async ({ signal }) => {
  const block = BACKENDS.filesystem();
  await (await prepareArchive(archiveOptions(offsiteConfig(block, { create: true })), signal)).close();
  const mistaken = offsiteConfig(block, { create: true, repository_password: "another-password" });
  await expect(prepareArchive(archiveOptions(mistaken), signal)).rejects.toMatchObject({ code: "kopia.password" });
  await (await openArchive(archiveOptions(offsiteConfig(block)), signal)).close();
});

test("kopiaClient() ends a Kopia whose storage takes the connection and says nothing", async ({ signal }) => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void silent.close());
  const address = silent.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const options = archiveOptions(offsiteConfig(s3At(`http://127.0.0.1:${port}`)));
  const folder = scratchFolder();
  const configFile = join(folder, "silent.config");
  const storage = await storageOf(options.config.backend, { reveal: options.reveal, read: async () => "" });
  const sizes = { contentBytes: 1, metadataBytes: 1, uploadBytesPerSecond: undefined };
  writeFileSync(configFile, configText({ storage, ...options.owner, cacheFolder: folder, ...sizes }));
  const client = kopiaClient({
    program: lab.kopia().path,
    configFile,
    logFolder: folder,
    password: new Secret("p"),
    processes: systemProcesses(),
    idleMs: 1500,
  });
  const asked = client.run({ args: ["repository", "status"], doing: "open the repository" }, signal);
  await expect(asked).rejects.toMatchObject({ code: "kopia.silent" });
});

function s3At(endpoint: string, more: object = {}): object {
  return s3Block(endpoint, more);
}

function folderAt(path: string): object {
  return { type: "filesystem", filesystem: { path } };
}

function sftpAt(more: object): object {
  const block = BACKENDS.SFTP();
  return { ...block, sftp: { ...block.sftp, ...more } };
}

/** The right name with another server's key. */
function otherHostKey(): string {
  const [name] = readFileSync(lab.sftp.knownHostsFile, "utf8").split(" ");
  return `${name} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl`;
}

function foreignFolder(): object {
  const folder = scratchFolder();
  mkdirSync(join(folder, "p12"));
  writeFileSync(join(folder, "p12", "something.f"), "no repository");
  return folderAt(folder);
}
