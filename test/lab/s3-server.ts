import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type Certificate, makeCertificate } from "../fakes/incus/certificate.ts";
import { openLab } from "./lab.ts";

const DAY_MS = 24 * 3600 * 1000;
const KEYS = { access_key: "own", secret_key: "planted-secret-key-51b7" };

/** A real S3 server of a test's own with one bucket: it can be killed, be full, and show a certificate of yesterday. */
export type S3Server = {
  readonly port: number;
  /** The block of a backend that leads to it, at its own port or through a proxy. */
  block(at?: { readonly port?: number; readonly bucket?: string; readonly secret_key?: string }): object;
  readonly secretKey: string;
  /** Starts it at its port; with a size it stores into memory, and no more than that. */
  start(options?: { readonly sizeMib?: number; readonly certificate?: "valid" | "expired" }): Promise<void>;
  /** Ends it on the spot, as a crash would. What it stored on disk stays. */
  kill(): Promise<void>;
  /** Gives one that stores into memory more room. */
  enlarge(sizeMib: number): void;
  close(): Promise<void>;
};

export async function openS3Server(): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), "iab-s3-"));
  const data = join(folder, "data");
  mkdirSync(join(data, "backups"), { recursive: true });
  const authority = makeCertificate({ commonName: "an authority", isAuthority: true });
  const caFile = join(folder, "ca.pem");
  writeFileSync(caFile, authority.certificate);
  const port = await freePort();
  let child: ChildProcess | undefined;
  let hasTls = false;
  const kill = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  return {
    port,
    secretKey: KEYS.secret_key,
    block: ({ port: through = port, ...more } = {}) => {
      const endpoint = `${hasTls ? "https" : "http"}://127.0.0.1:${through}`;
      const tls = hasTls ? { ca_file: caFile } : {};
      return { type: "s3", s3: { endpoint, bucket: "backups", prefix: "iab", ...KEYS, ...tls, ...more } };
    },
    start: async ({ sizeMib, certificate } = {}) => {
      hasTls = certificate !== undefined;
      const tls = certificate === undefined ? [] : certificateFlags(folder, certificate, authority);
      const words = ["--quiet", "--port", `127.0.0.1:${port}`, ...tls, "posix", data];
      child = spawn("setpriv", ["--pdeathsig", "KILL", ...around(sizeMib, data), openLab().s3().program, ...words], {
        env: { PATH: process.env["PATH"], ROOT_ACCESS_KEY: KEYS.access_key, ROOT_SECRET_KEY: KEYS.secret_key },
        stdio: "ignore",
      });
      await listening(port, child);
    },
    kill,
    enlarge: (sizeMib) => {
      const inside = ["--target", String(child?.pid), "--mount", "--"];
      execFileSync("nsenter", [...inside, "mount", "-o", `remount,size=${sizeMib}m`, data]);
    },
    close: async () => {
      await kill();
      rmSync(folder, { recursive: true });
    },
  };
}

/** A file system of a size in a mount namespace of its own goes with the server, whatever ends it. */
function around(sizeMib: number | undefined, data: string): string[] {
  if (sizeMib === undefined) return ["--"];
  const script = 'mount -t tmpfs -o "size=$1m" none "$2" && mkdir "$2/backups" && shift 2 && exec "$@"';
  return ["--", "unshare", "--mount", "--", "sh", "-c", script, "sh", String(sizeMib), data];
}

function certificateFlags(folder: string, which: "valid" | "expired", authority: Certificate): string[] {
  const span =
    which === "valid" ? {} : { notBefore: new Date(Date.now() - 9 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) };
  const { certificate, key } = makeCertificate({ commonName: "localhost", issuer: authority, ...span });
  const paths = [join(folder, "server.pem"), join(folder, "server.key")] as const;
  writeFileSync(paths[0], certificate);
  writeFileSync(paths[1], key, { mode: 0o600 });
  return ["--cert", paths[0], "--key", paths[1]];
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (child.exitCode !== null) break;
    const socket = connect(port, "127.0.0.1");
    const answered = await Promise.race([
      once(socket, "connect").then(() => true),
      once(socket, "error").then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (answered) return;
    await setTimeout(100);
  }
  throw new Error(`The S3 server does not answer; it ended with ${child.exitCode}`);
}
