// Stops the machine behind a QMP socket, writes its memory to a file, and ends it: `node save-state.mjs SOCKET FILE`.
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";

const [socketPath, file] = process.argv.slice(2);
const socket = connect(socketPath);
const lines = createInterface({ input: socket })[Symbol.asyncIterator]();

/** The next line that is not an event. */
async function reply() {
  for (;;) {
    const { value, done } = await lines.next();
    if (done) throw new Error("QEMU closed its monitor");
    const message = JSON.parse(value);
    if (message.error !== undefined) throw new Error(message.error.desc);
    if (message.event === undefined) return message.return;
  }
}

async function ask(execute, parameters = {}) {
  socket.write(`${JSON.stringify({ execute, arguments: parameters })}\n`);
  return reply();
}

await reply(); // the greeting
await ask("qmp_capabilities");
await ask("migrate-set-parameters", { "max-bandwidth": 4_000_000_000 });
await ask("migrate", { uri: `exec:zstd -q -T0 -3 > '${file}'` });
for (;;) {
  const { status, "error-desc": why } = await ask("query-migrate");
  if (status === "completed") break;
  if (status === "failed" || status === "cancelled") throw new Error(`QEMU could not save its state: ${why ?? status}`);
  await wait(200);
}
await ask("quit");
socket.end();
