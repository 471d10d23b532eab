import { expect, test } from "vitest";
import { movementOfBackup, movementOfReading, parseProgress } from "../../src/kopia/progress.ts";

const LINE =
  " | 2 hashing, 3 hashed (1.6 GB), 12 cached (2.5 GB), uploaded 552.6 MB, estimated 2.5 GB (41.0%) 11s left";

test("parseProgress() reads the counts and the percentage", () => {
  expect(parseProgress(LINE)).toEqual({
    text: "2 hashing, 3 hashed (1.6 GB), 12 cached (2.5 GB), uploaded 552.6 MB",
    percent: 41,
  });
  expect(parseProgress(" * 0 hashing, 1 hashed (5 MB), 0 cached (0 B), uploaded 183 B, estimating... ")).toEqual({
    text: "0 hashing, 1 hashed (5 MB), 0 cached (0 B), uploaded 183 B",
    percent: undefined,
  });
  expect(parseProgress("Snapshotting u1@h1:/zfs/x ...")).toBeUndefined();
});

test("movementOfBackup() does not take the clock or the spinner for movement", () => {
  expect(movementOfBackup(LINE.replace("|", "/").replace("11s", "9m40s"))).toBe(movementOfBackup(LINE));
  expect(movementOfBackup(LINE.replace("552.6", "552.7"))).not.toBe(movementOfBackup(LINE));
  expect(movementOfBackup("unable to complete PutBlob(p1), retrying")).toBeUndefined();
});

test("movementOfReading() reads restores and verifications", () => {
  expect(movementOfReading("Processed 8 (51.2 MB) of 8 (55.4 MB) 3 MB/s (92.4%) remaining 1s.")).toBe(
    "Processed 8 (51.2 MB)",
  );
  expect(movementOfReading('{"processedObjectCount":3}')).toBe('{"processedObjectCount":3}');
  expect(movementOfReading("Listed 15 blobs.")).toBeUndefined();
});
