import type { UnitRecord } from "../model/export.ts";
import { brokenTar } from "../tar/header.ts";
import type { TarEntry } from "../tar/read.ts";
import { editTar, type TarEdit } from "../tar/write.ts";
import { INDEX_PATH, INSTANCE_CONFIG_PATH, indexText, instanceConfigText } from "./backup-index.ts";

/** What Incus writes anew, and with another date, whatever the workload holds. */
const INCUS_OWN = /^backup\/((virtual-machine|volume)\.img|(container|virtual-machine)\/?)$/;

/**
 * An export as it is kept: it describes the workload rather than the copy that was exported, and the same workload
 * makes the same bytes. `incus import` takes it as well. It ends only where the original was whole.
 */
export async function* stableExport(
  bytes: AsyncIterable<Uint8Array>,
  record: UnitRecord,
  what: string,
): AsyncGenerator<Uint8Array> {
  const missing = new Set(record.kind === "instance" ? ["index", "instance"] : ["index"]);
  const edit = ({ path }: TarEntry): TarEdit => {
    if (path === INDEX_PATH) {
      missing.delete("index");
      return { content: Buffer.from(indexText(record)) };
    }
    if (INSTANCE_CONFIG_PATH.test(path)) {
      missing.delete("instance");
      return { content: Buffer.from(instanceConfigText(record)) };
    }
    return INCUS_OWN.test(path) ? { modifiedAtSeconds: 0 } : { keep: true };
  };
  yield* editTar(checkedAtEnd(), what, edit);

  /** A tar may be whole and still not what it has to be. */
  async function* checkedAtEnd(): AsyncGenerator<Uint8Array> {
    yield* bytes;
    if (missing.size > 0) throw brokenTar(what, `it lacks the description of its ${[...missing].join(", ")}`);
  }
}
