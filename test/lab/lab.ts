import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";

export const DaemonFacts = z.object({
  url: z.url(),
  socket: z.string(),
  certificate: z.string(),
  incusDir: z.string(),
  storageDir: z.string(),
  pools: z.object({ btrfs: z.string(), btrfs2: z.string(), dir: z.string() }),
  networks: z.array(z.string()),
  client: z.string(),
  keeperPid: z.number(),
});

const Missing = z.object({ missing: z.string() });
const Kopia = z.object({ path: z.string(), version: z.string() });
const S3Endpoint = z.object({ endpoint: z.string(), accessKey: z.string(), secretKey: z.string() });
const S3 = z.object({
  program: z.string(),
  dataDir: z.string(),
  plain: S3Endpoint,
  tls: S3Endpoint.extend({ caFile: z.string() }),
});
const Sftp = z.object({
  host: z.string(),
  port: z.number(),
  user: z.string(),
  keyFile: z.string(),
  knownHostsFile: z.string(),
  path: z.string(),
});
const Pair = z.object({ version: z.string(), source: DaemonFacts, target: DaemonFacts });

const LabFile = z.object({
  version: z.literal(1),
  directory: z.string(),
  incus: z.object({ "6.0": Pair, "7.0": Pair }),
  kopia: z.union([Kopia, Missing]),
  s3: z.union([S3, Missing]),
  sftp: Sftp,
});

const Generation = z.enum(["6.0", "7.0"]);
/** The two LTS generations of Incus that the lab runs. */
export type Generation = z.infer<typeof Generation>;
/** The generations whose tests run in this process: both, unless `IAB_GENERATIONS` names one. */
export const GENERATIONS: readonly Generation[] = z
  .array(Generation)
  .parse(process.env["IAB_GENERATIONS"]?.split(" ") ?? Generation.options);
type Side = "source" | "target";

/** One Incus daemon of the lab: where it listens, and where this machine sees what it stores. */
export type LabDaemon = z.infer<typeof DaemonFacts> & {
  readonly generation: Generation;
  readonly side: Side;
  /** The folder of the lab that the daemon belongs to. */
  readonly lab: string;
};

/** What speaking to a daemon takes: those of this lab and of the ZFS machine have it in common. */
export type Daemon = Pick<LabDaemon, "generation" | "side" | "url" | "socket" | "certificate">;

/** The running lab, as `make lab` left it. */
export type Lab = {
  readonly directory: string;
  readonly incus: Readonly<Record<Generation, { version: string; source: LabDaemon; target: LabDaemon }>>;
  readonly sftp: z.infer<typeof Sftp>;
  /** Throws with the reason where Kopia could not be built. */
  kopia(): z.infer<typeof Kopia>;
  /** Throws with the reason where the S3 server could not be built. */
  s3(): z.infer<typeof S3>;
};

/** The lab that is running here; throws where there is none, since a test without its lab has failed, not passed. */
export function openLab(): Lab {
  const directory = resolve(process.env["IAB_LAB_DIR"] ?? ".lab");
  const file = LabFile.parse(JSON.parse(readLabFile(join(directory, "lab.json"))));
  return {
    directory: file.directory,
    incus: { "6.0": pairOf(file, "6.0"), "7.0": pairOf(file, "7.0") },
    sftp: file.sftp,
    kopia: () => present("Kopia", file.kopia),
    s3: () => present("The S3 server", file.s3),
  };
}

function readLabFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new Error(`The lab is not up: cannot read ${path}. Run make lab as root first`, { cause });
  }
}

function pairOf(file: z.infer<typeof LabFile>, generation: Generation): Lab["incus"][Generation] {
  const pair = file.incus[generation];
  return {
    version: pair.version,
    source: { ...pair.source, generation, side: "source", lab: file.directory },
    target: { ...pair.target, generation, side: "target", lab: file.directory },
  };
}

function present<T extends object>(name: string, part: T | z.infer<typeof Missing>): T {
  if ("missing" in part) throw new Error(`${name} is not in the lab: ${part.missing}`);
  return part;
}
