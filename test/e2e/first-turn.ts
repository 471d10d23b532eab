import type { Owner } from "../../src/kopia/arguments.ts";
import { turnMs } from "../../src/kopia/repository.ts";

/** An owner of backups whose turn to make a repository comes at once: the others wait for up to a minute. */
export function ownerWithFirstTurn(hostname: string): Owner {
  for (let number = 0; ; number += 1) {
    const owner = { hostname, username: `iab${number}` };
    if (turnMs(owner) === 0) return owner;
  }
}
