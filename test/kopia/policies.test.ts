import { expect, test } from "vitest";
import type { Call, Client } from "../../src/kopia/client.ts";
import { applyPolicies, wantedPolicies } from "../../src/kopia/policies.ts";
import type { OffsiteRetention } from "../../src/model/offsite.ts";

const owner = { hostname: "h1", username: "u" };
const retention = (keepLatest: number | undefined): OffsiteRetention => ({
  keepLatest,
  keepHourly: undefined,
  keepDaily: undefined,
  keepWeekly: undefined,
  keepMonthly: undefined,
  keepAnnual: undefined,
});

test("wantedPolicies() switches off what loses data, and leaves alone what the file says of other hosts", () => {
  const file = JSON.stringify({
    "(global)": { upload: { maxParallelFileReads: 2 } },
    "u@h1": { compression: { compressorName: "zstd" }, retention: { keepDaily: 9 } },
    "u@h1:/x": { retention: { keepLatest: 1 } },
    "u@h2": { retention: { keepLatest: 2 } },
  });
  expect(wantedPolicies({ owner, retention: retention(3), file })).toEqual({
    "(global)": { upload: { maxParallelFileReads: 2 } },
    "u@h1": {
      files: { ignoreCacheDirs: false, ignoreDotFiles: [".iab-ignores-nothing"] },
      compression: { compressorName: "zstd" },
      splitter: { algorithm: "DYNAMIC-256K-BUZHASH" },
      retention: { keepLatest: 3, keepDaily: 9 },
    },
    "u@h1:/x": { retention: { keepLatest: 1 } },
  });
});

test("wantedPolicies() leaves to a policy of all hosts how data is compressed and cut, but not what would lose data", () => {
  const all = {
    compression: { compressorName: "zstd" },
    splitter: { algorithm: "FIXED-1M" },
    files: { ignoreCacheDirs: true },
  };
  const wanted = (file: object) =>
    wantedPolicies({ owner, retention: retention(3), file: JSON.stringify(file) })["u@h1"];
  const files = { ignoreCacheDirs: false, ignoreDotFiles: [".iab-ignores-nothing"] };
  expect(wanted({ "(global)": all })).toEqual({ files, retention: { keepLatest: 3 } });
  expect(wanted({ "@h1": { splitter: all.splitter } })).not.toHaveProperty("splitter");
  expect(wanted({ "@h2": { splitter: all.splitter } })).toHaveProperty("splitter");
  // What `kopia policy export` prints of a repository in which nobody has set anything.
  const untouched = { "(global)": { compression: { compressorName: "none" }, splitter: {} } };
  expect(wanted(untouched)).toMatchObject({ compression: { compressorName: "zstd-fastest" }, splitter: {} });
});

test("applyPolicies() writes nothing where the repository has the policies already", async ({ signal }) => {
  const { client, calls, held } = policyKeeper();
  await applyPolicies(client, { owner, retention: retention(3), file: undefined }, signal);
  expect(held["u@h1"]).toMatchObject({ retention: { keepLatest: 3 } });
  calls.length = 0;
  await applyPolicies(client, { owner, retention: retention(3), file: undefined }, signal);
  expect(calls.filter((args) => args.includes("import"))).toEqual([]);
  await applyPolicies(client, { owner, retention: retention(4), file: undefined }, signal);
  expect(held["u@h1"]).toMatchObject({ retention: { keepLatest: 4 } });
});

test("applyPolicies() refuses a compressor that Kopia does not have, which would mean none", async ({ signal }) => {
  const { client, held } = policyKeeper();
  const file = JSON.stringify({ "(global)": { compression: { compressorName: "zsdt" } } });
  await expect(applyPolicies(client, { owner, retention: retention(3), file }, signal)).rejects.toMatchObject({
    code: "kopia.policy",
    message: "Cannot use the policy of (global): no compressor zsdt is known",
    hint: "Kopia knows none, zstd, zstd-fastest",
  });
  expect(held).toEqual({});
});

test("applyPolicies() refuses a splitter that Kopia does not have, which would mean its own", async ({ signal }) => {
  const { client, held } = policyKeeper();
  const file = JSON.stringify({ "u@h1": { splitter: { algorithm: "DYNAMIC-128K" } } });
  await expect(applyPolicies(client, { owner, retention: retention(3), file }, signal)).rejects.toMatchObject({
    code: "kopia.policy",
    message: "Cannot use the policy of u@h1: no splitter DYNAMIC-128K is known",
    hint: "Kopia knows DYNAMIC-128K-BUZHASH, DYNAMIC-256K-BUZHASH, FIXED",
  });
  expect(held).toEqual({});
});

/** Keeps policies as Kopia does: an import replaces, and an export prints empty parts too. */
function policyKeeper() {
  const held: Record<string, object> = {};
  const calls: string[][] = [];
  const answer = ({ args, input }: Call) => {
    calls.push([...args]);
    if (args.includes("export")) {
      const printed = Object.entries(held).map(([target, policy]) => [target, { ...policy, actions: {}, upload: {} }]);
      return { exitCode: 0, stdout: JSON.stringify(Object.fromEntries(printed)), stderr: "" };
    }
    if (args.includes("import")) {
      Object.assign(held, JSON.parse(String(input)));
      return { exitCode: 0, stdout: "", stderr: "" };
    }
    const names = args.includes("--splitter=?")
      ? "DYNAMIC-128K-BUZHASH,DYNAMIC-256K-BUZHASH,FIXED,inherit"
      : "inherit,none,zstd,zstd-fastest";
    const stderr = `kopia: error: enum value must be one of ${names}, got '?', try --help`;
    return { exitCode: 1, stdout: "", stderr };
  };
  const client: Client = {
    attempt: async (call) => answer(call),
    run: async (call) => answer(call).stdout,
    read: async function* (call) {
      yield Buffer.from(answer(call).stdout);
    },
  };
  return { client, calls, held };
}
