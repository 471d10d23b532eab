import { expect, test } from "vitest";
import { kopiaFailure } from "../../src/kopia/failures.ts";

// What Kopia 0.23.1 and the storages behind it were seen to say.
const cases: { says: string; code: string }[] = [
  { says: "unable to create format manager: invalid repository password", code: "kopia.password" },
  { says: "repository not initialized in the provided storage", code: "kopia.empty" },
  { says: "unable to read format blob: error getting kopia.repository blob: BLOB not found", code: "kopia.empty" },
  { says: "unable to write format blob: The specified bucket does not exist", code: "kopia.no-bucket" },
  { says: "found existing data in storage location", code: "kopia.foreign" },
  { says: "deserialize blob config: unable to decrypt repository blobcfg blob", code: "kopia.foreign" },
  { says: "The difference between the request time and the current time is too large.", code: "kopia.clock" },
  { says: "clock skew detected: local clock is out of sync. Refusing to run maintenance", code: "kopia.clock" },
  {
    says: "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    code: "kopia.certificate",
  },
  { says: "http: server gave HTTP response to HTTPS client", code: "kopia.certificate" },
  { says: "ssh: handshake failed: knownhosts: key mismatch", code: "kopia.host-key" },
  { says: "The AWS Access Key Id you provided does not exist in our records.", code: "kopia.denied" },
  { says: "error listing blobs: No user exists with the provided access key ID.", code: "kopia.denied" },
  { says: "error retrieving storage config from bucket: Access Denied", code: "kopia.denied" },
  { says: "error writing: no space left on device", code: "kopia.full" },
  { says: "cannot access storage path: stat /x: no such file or directory", code: "kopia.unreachable" },
  { says: 'Get "https://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused', code: "kopia.unreachable" },
  {
    says: "Connection closed by foreign host http://127.0.0.1:33237/b/?location=. Retry again.",
    code: "kopia.unreachable",
  },
  { says: "error retrieving storage config: Get http://s3/b/: unexpected EOF", code: "kopia.unreachable" },
  { says: "The server has run out of space: InsufficientStorage: no space left on device", code: "kopia.full" },
  { says: "unable to complete PutBlob(p1) despite 10 retries", code: "kopia.unreachable" },
  { says: "error deleting snapshots by root ID 01: no snapshots matched 01", code: "kopia.not-found" },
  { says: "object k1 is backed by missing blob p1", code: "kopia.damaged" },
  { says: "something that nobody has seen yet", code: "kopia.failed" },
];
test.each(cases)("kopiaFailure() tells $code from: $says", ({ says, code }) => {
  const error = kopiaFailure(`Opening…\n\u001b[31mERROR\u001b[0m ${says}\n`, "list the backups");
  expect(error.code).toBe(code);
  expect(error.message).toMatch(/^Cannot list the backups: /);
  if (code !== "kopia.failed") expect(error.hint).not.toBe("");
});

test("kopiaFailure() quotes the last words of what it does not know, without colours and progress", () => {
  const stderr = "first\n | 2 hashing, 0 hashed (1 B)\r\u001b[31mERROR\u001b[0m new trouble\n";
  expect(kopiaFailure(stderr, "x").message).toBe("Cannot x: new trouble");
  expect(kopiaFailure("", "x").message).toBe("Cannot x: Kopia does not say why");
});
