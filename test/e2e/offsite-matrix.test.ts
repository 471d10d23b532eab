import { describe } from "vitest";
import { GENERATIONS, type Generation } from "../lab/lab.ts";
import { type Pair, testMatrix } from "./offsite-matrix.ts";

/** Over both generations each way of reading, and each storage; `offsite-matrix-rest` has the other half. */
const PAIRS: Readonly<Record<Generation, readonly Pair[]>> = {
  "6.0": [
    { read: "btrfs", storage: "filesystem" },
    { read: "export", storage: "S3 over plain http" },
  ],
  "7.0": [
    { read: "export", storage: "S3 with TLS and a private CA" },
    { read: "btrfs", storage: "SFTP" },
  ],
};

describe.each(GENERATIONS)("Incus %s", (generation) => testMatrix(generation, PAIRS[generation]));
