// Carries connections from addresses of this machine into the network namespace of the ZFS machine, by two processes that
// meet at unix sockets in a folder:   node relay.mjs outside lab-zfs=FOLDER IP:PORT...    (listens on the addresses)
//                                     nsenter … node relay.mjs inside lab-zfs=FOLDER HOST:PORT...    (connects to the guest)
import { connect, createServer } from "node:net";
import { join } from "node:path";

const [side, mark, ...addresses] = process.argv.slice(2);
const folder = mark.slice("lab-zfs=".length);
for (const address of addresses) {
  const [host, port] = address.split(":");
  const path = join(folder, `relay-${port}.sock`);
  const [from, to] = side === "outside" ? [{ host, port }, { path }] : [{ path }, { host, port }];
  createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = connect({ ...to, allowHalfOpen: true, noDelay: true });
    near.on("error", () => far.destroy());
    far.on("error", () => near.destroy());
    near.on("close", () => far.destroy());
    far.on("close", () => near.destroy());
    near.pipe(far).pipe(near);
  }).listen(from);
}
