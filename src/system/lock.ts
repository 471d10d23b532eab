import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { AgentError } from "../model/errors.ts";
import type { Lock, Locks } from "../model/ports.ts";
import { rfc3339 } from "../model/time.ts";

const ANSWER_TIMEOUT_MS = 1000;

/**
 * Locks of this machine. Each is an abstract unix socket, named by a digest: the kernel gives the name to one process,
 * takes it back at its death whatever killed it, and leaves nothing on disk. Who asks the holder is answered who he is
 * and what he tells.
 */
export const systemLocks: Locks = {
  take: (name, tell) => take({ socket: socketOf(`name ${name}`), what: name }, tell),
  ask: async (name) => {
    const answer = await answerOf(socketOf(`name ${name}`));
    return answer?.split("\n").slice(1).join("\n");
  },
};

/** Takes the lock of a file, whichever path leads to it. */
export async function takeLock(path: string): Promise<Lock> {
  return take({ socket: socketOf(await realPathOf(path)), what: path }, () => "");
}

/** Who holds the lock of a file, in his own words; undefined where nobody does. */
export async function lockHolder(path: string): Promise<string | undefined> {
  const answer = await answerOf(socketOf(await realPathOf(path)));
  return answer === undefined ? undefined : answer.split("\n")[0] || "it did not say who it is";
}

type Wanted = { readonly socket: string; readonly what: string };

async function take({ socket, what }: Wanted, tell: () => string): Promise<Lock> {
  const who = `process ${process.pid}, since ${rfc3339(Math.floor(Date.now() / 1000) * 1000)}`;
  const server = createServer((caller) => {
    caller.on("error", () => caller.destroy());
    caller.end(`${who}\n${tell()}`);
  });
  if (!(await bound(server, socket, what))) {
    const [holder] = (await answerOf(socket))?.split("\n") ?? [];
    throw new AgentError(
      "lock.held",
      `Another run holds the lock of ${what}: ${holder || "it did not say who it is"}`,
      {
        hint: "wait until it has ended, or end it; the lock goes with its process",
      },
    );
  }
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

function socketOf(name: string): string {
  return `\0iab-lock-${createHash("sha256").update(name).digest("hex")}`;
}

function bound(server: Server, name: string, what: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      if (cause.code === "EADDRINUSE") resolve(false);
      else reject(new AgentError("files.unusable", `Cannot lock ${what}: ${cause.code}`, { cause }));
    });
    server.listen(name, () => resolve(true));
  });
}

/** What the holder says; empty where he cannot, and undefined where there is none. */
async function answerOf(name: string): Promise<string | undefined> {
  const socket = connect(name);
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(new Error("no answer in time")));
  try {
    return await text(socket);
  } catch (error) {
    // A holder that is stopped, or has just gone, cannot tell.
    return error instanceof Error && "code" in error && error.code === "ECONNREFUSED" ? undefined : "";
  } finally {
    socket.destroy();
  }
}

/** A file may be locked before it is there: then nobody sees it without its lock. */
async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path).catch(async () => join(await realpath(dirname(path)), basename(path)));
  } catch (cause) {
    throw new AgentError("files.unusable", `Cannot lock ${path}: there is no such folder`, { cause });
  }
}
