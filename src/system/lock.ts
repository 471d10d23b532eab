import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { text } from "node:stream/consumers";
import { AgentError } from "../model/errors.ts";
import { rfc3339 } from "../model/time.ts";

const ANSWER_TIMEOUT_MS = 1000;

/**
 * Takes the lock of a file. It is an abstract unix socket, named by a digest of the file's real path: the kernel gives
 * the name to one process, takes it back at its death whatever killed it, and leaves nothing on disk.
 */
export async function takeLock(path: string): Promise<{ release(): Promise<void> }> {
  const name = `\0iab-lock-${createHash("sha256")
    .update(await realPathOf(path))
    .digest("hex")}`;
  const answer = `process ${process.pid}, since ${rfc3339(Math.floor(Date.now() / 1000) * 1000)}`;
  const server = createServer((caller) => {
    caller.on("error", () => caller.destroy());
    caller.end(answer);
  });
  if (!(await bound(server, name, path))) {
    throw new AgentError("lock.held", `Another run holds the lock of ${path}: ${await holderOf(name)}`, {
      hint: "wait until it has ended, or end it; the lock goes with its process",
    });
  }
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

function bound(server: Server, name: string, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      if (cause.code === "EADDRINUSE") resolve(false);
      else reject(new AgentError("files.unusable", `Cannot lock ${path}: ${cause.code}`, { cause }));
    });
    server.listen(name, () => resolve(true));
  });
}

async function holderOf(name: string): Promise<string> {
  const socket = connect(name);
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(new Error("no answer in time")));
  try {
    return (await text(socket)) || "it did not say who it is";
  } catch {
    // A holder that is stopped, or has just gone, cannot tell; the lock was held all the same.
    return "it did not say who it is";
  } finally {
    socket.destroy();
  }
}

async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    throw new AgentError("files.unusable", `Cannot lock ${path}: there is no such file`, { cause });
  }
}
