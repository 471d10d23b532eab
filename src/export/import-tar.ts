import type { UnitRecord } from "../model/export.ts";
import { brokenTar, newHeader, padding, paddingBytes, posixMode } from "../tar/header.ts";
import { batched, END_MARKER, editedEntries, fileEntry } from "../tar/write.ts";
import { INDEX_PATH, indexText, instanceConfigText } from "./backup-index.ts";

/** The content of a workload, as a backup has it. */
export type Contents = {
  /** Folders of files, each as a tar, with where it belongs below the root of the whole. */
  readonly folders: readonly {
    readonly below: string;
    readonly tar: AsyncIterable<Uint8Array>;
    readonly root: { readonly mode: number; readonly uid: number; readonly gid: number } | undefined;
  }[];
  /** The bytes of its disk. */
  readonly disk: { readonly bytes: AsyncIterable<Uint8Array>; readonly sizeBytes: number } | undefined;
};

/**
 * A backup file as Incus imports it, made of files and disks that were read without it. Its end marker comes only when
 * all of them were read to their ends.
 */
export async function* importTar(record: UnitRecord, contents: Contents, what: string): AsyncGenerator<Uint8Array> {
  yield* batched(entriesOf(record, contents, what));
  yield END_MARKER;
}

async function* entriesOf(record: UnitRecord, contents: Contents, what: string): AsyncGenerator<Buffer> {
  const place = placeOf(record);
  yield* fileEntry(INDEX_PATH, 0o644, Buffer.from(indexText(record)));
  const ownConfig = `${place}/backup.yaml`;
  let isFirst = true;
  for (const { below, tar, root } of contents.folders) {
    const folder = below === "" ? place : `${place}/${below}`;
    // The root of a folder is no entry of its tar.
    yield newHeader({ path: folder, type: "5", mode: root?.mode ?? 0o755, size: 0, uid: root?.uid, gid: root?.gid });
    if (isFirst && record.kind === "instance") {
      yield* fileEntry(ownConfig, 0o400, Buffer.from(instanceConfigText(record)));
    }
    isFirst = false;
    yield* editedEntries(tar, what, ({ path, type, block }) => {
      if (type === "1") throw brokenTar(what, `${path} is a hard link, which Kopia does not keep`);
      const moved = `${folder}/${path.replace(/^(\.?\/)+/, "").replace(/\/$/, "")}`;
      return moved === ownConfig ? { drop: true } : { path: moved, mode: posixMode(block, what) };
    });
  }
  if (contents.disk !== undefined) yield* diskEntry(`${place}.img`, contents.disk, what);
}

async function* diskEntry(
  path: string,
  { bytes, sizeBytes }: NonNullable<Contents["disk"]>,
  what: string,
): AsyncGenerator<Buffer> {
  yield newHeader({ path, type: "0", mode: 0o600, size: sizeBytes });
  let read = 0;
  for await (const part of bytes) {
    read += part.length;
    if (read > sizeBytes) break;
    yield Buffer.from(part.buffer, part.byteOffset, part.byteLength);
  }
  if (read !== sizeBytes) throw brokenTar(what, `the disk in it has not the ${sizeBytes} bytes that it should have`);
  if (paddingBytes(sizeBytes) > 0) yield padding(sizeBytes);
}

function placeOf(record: UnitRecord): string {
  if (record.kind === "volume") return "backup/volume";
  return record.instance["type"] === "virtual-machine" ? "backup/virtual-machine" : "backup/container";
}
