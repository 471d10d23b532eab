import { describe } from "vitest";
import { GENERATIONS, type Generation } from "../lab/lab.ts";
import { type Pair, testMatrix } from "./offsite-matrix.ts";

/** With `offsite-matrix`: every storage on each generation, and each way of reading with every storage over both. */
const PAIRS: Readonly<Record<Generation, readonly Pair[]>> = {
  "6.0": [
    { read: "btrfs", storage: "S3 with TLS and a private CA" },
    { read: "export", storage: "SFTP" },
  ],
  "7.0": [
    { read: "export", storage: "filesystem" },
    { read: "btrfs", storage: "S3 over plain http" },
  ],
};

describe.each(GENERATIONS)("Incus %s", (generation) => testMatrix(generation, PAIRS[generation]));
