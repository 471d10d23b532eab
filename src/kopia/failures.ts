import { stripVTControlCharacters } from "node:util";
import { AgentError, type ErrorCode } from "../model/errors.ts";

type Known = { readonly says: RegExp; readonly code: ErrorCode; readonly why: string; readonly hint: string };

/** What Kopia and the storages behind it say when something is wrong. The first that fits is it. */
const KNOWN: readonly Known[] = [
  {
    says: /invalid repository password/,
    code: "kopia.password",
    why: "the repository has another password",
    hint: "check offsite.repository_password; Kopia ignores white space around a password",
  },
  {
    says: /specified bucket does not exist|NoSuchBucket/,
    code: "kopia.no-bucket",
    why: "there is no such bucket",
    hint: "check bucket and endpoint in offsite.backend; the agent makes no buckets",
  },
  {
    says: /not initialized in the provided storage|kopia\.repository blob: BLOB not found/,
    code: "kopia.empty",
    why: "there is no repository at that place, or no such bucket",
    hint: "check bucket, prefix or path, and the keys, for a slip; for a first backup set offsite.create to true",
  },
  {
    says: /found existing data in storage location/,
    code: "kopia.foreign",
    why: "the place holds something else than a repository of Kopia's",
    hint: "give the repository a place of its own, by another prefix, bucket or path",
  },
  {
    says: /unable to decrypt repository blobcfg/,
    code: "kopia.foreign",
    why: "it is half one repository and half another, as when two hosts make it at the same moment",
    hint: "if it has just been made, nothing is in it yet: empty the place, and let one host begin",
  },
  {
    says: /invalid format blob|unsupported repository|unsupported format|can't parse JSON|not a valid repository|malformed/i,
    code: "kopia.foreign",
    why: "what is there is no repository that this Kopia can read",
    hint: "check that nothing else writes to that place, and whether Kopia is older than who made the repository",
  },
  {
    says: /difference between the request time and the current time is too large|RequestTimeTooSkewed|clock skew detected/,
    code: "kopia.clock",
    why: "the clocks of this machine and of the storage differ too much",
    hint: "set the time on both; some storages give wrong times for what has been written, which looks the same",
  },
  {
    says: /certificate has expired|certificate signed by unknown authority|x509:|tls: failed to verify/,
    code: "kopia.certificate",
    why: "the certificate of the storage cannot be verified",
    hint: "for a private CA name its certificate in offsite.backend.s3.ca_file; an expired one is to be renewed there",
  },
  {
    says: /HTTP response to HTTPS client/,
    code: "kopia.certificate",
    why: "the storage speaks plain HTTP",
    hint: "write the endpoint with http:// if that is meant to be",
  },
  {
    says: /knownhosts: key (mismatch|is unknown)/,
    code: "kopia.host-key",
    why: "the SSH server shows another host key than the pinned one",
    hint: "check that it is the right server, then put its key into known_hosts",
  },
  {
    says: /Access Key Id you provided does not exist|No user exists with the provided access key|InvalidAccessKeyId|SignatureDoesNotMatch|signature we calculated|Access Denied|AccessDenied|\b403\b|unable to authenticate|permission denied|Forbidden|storage is read-only/i,
    code: "kopia.denied",
    why: "the storage refuses",
    hint: "check the keys, and that they may list, read, write and delete there",
  },
  {
    says: /no space left|disk quota exceeded|QuotaExceeded|insufficient storage|EntityTooLarge|XMinioStorageFull/i,
    code: "kopia.full",
    why: "the storage is full",
    hint: "make room there; what was uploaded is used when the next run goes on",
  },
  {
    says: /cannot access storage path/,
    code: "kopia.unreachable",
    why: "the folder of the repository is not there",
    hint: "check that it exists and is mounted",
  },
  {
    says: /connection refused|connection closed by foreign host|\bEOF\b|broken pipe|no such host|network is unreachable|no route to host|i\/o timeout|connection reset|TLS handshake timeout|dial tcp|despite \d+ retries/i,
    code: "kopia.unreachable",
    why: "the storage cannot be reached",
    hint: "check endpoint and network",
  },
  {
    says: /object not found|no snapshots matched|snapshot not found|unable to find snapshot/i,
    code: "kopia.not-found",
    why: "it is not in the repository",
    hint: "iab offsite list shows what is there",
  },
  {
    says: /missing blob|message authentication failed|repository is corrupted|BLOB not found/i,
    code: "kopia.damaged",
    why: "the repository lacks data, or has it damaged",
    hint: "keep the repository as it is, restore what can be restored, and find out what has touched the storage",
  },
  {
    says: /unknown compressor|json: unknown field|cannot unmarshal/,
    code: "kopia.policy",
    why: "Kopia does not take the policy",
    hint: "write it as kopia policy export does",
  },
];

/** The error of a Kopia that failed, by what it said on stderr. */
export function kopiaFailure(stderr: string, doing: string): AgentError {
  const words = lastWords(stderr);
  const known = KNOWN.find(({ says }) => says.test(stderr));
  if (known === undefined)
    return new AgentError("kopia.failed", `Cannot ${doing}: ${words || "Kopia does not say why"}`);
  const { code, why, hint } = known;
  return new AgentError(code, `Cannot ${doing}: ${why}`, { hint, cause: new Error(`Kopia says: ${words}`) });
}

/** The last line that is neither progress nor empty. Older versions colour it and put a word before it. */
function lastWords(stderr: string): string {
  const lines = stripVTControlCharacters(stderr)
    .split(/[\r\n]+/)
    .map((line) => line.trim().replace(/^ERROR:? /, ""))
    .filter((line) => line !== "" && !/^[|/\\*-] \d+ hashing/.test(line));
  return lines.at(-1) ?? "";
}
