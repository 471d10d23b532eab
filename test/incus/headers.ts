import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** What a test puts into a migration header; the numbers are those of Incus's protocol. */
export type HeaderParts = {
  readonly fsType?: number;
  readonly snapshots?: readonly { readonly name: string; readonly createdAt: bigint }[];
  readonly refresh?: boolean;
  readonly indexHeaderVersion?: number;
  readonly zfsFeatures?: readonly number[];
  readonly btrfsFeatures?: readonly number[];
  readonly dependentVolumes?: number;
  /** A field that no version of Incus known today has. */
  readonly unknownField?: number;
};

/** A migration header as a server would send it, written independently of the code under test. */
export function headerBytes(parts: HeaderParts): Buffer {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).int32(parts.fsType ?? 0);
  for (const { name } of parts.snapshots ?? []) writer.tag(4, WireType.LengthDelimited).string(name);
  for (const { name, createdAt } of parts.snapshots ?? []) {
    writer.tag(5, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(name);
    writer.tag(2, WireType.LengthDelimited).fork().tag(1, WireType.LengthDelimited).string("image.os").join();
    writer.tag(4, WireType.Varint).bool(false).tag(6, WireType.Varint).int32(2).tag(7, WireType.Varint).bool(false);
    writer.tag(8, WireType.Varint).int64(createdAt);
    writer.join();
  }
  if (parts.refresh !== undefined) writer.tag(9, WireType.Varint).bool(parts.refresh);
  writeFlags(writer, 10, parts.zfsFeatures);
  writer.tag(11, WireType.Varint).int64(1_073_741_824n);
  writeFlags(writer, 12, parts.btrfsFeatures);
  if (parts.indexHeaderVersion !== undefined) writer.tag(13, WireType.Varint).uint32(parts.indexHeaderVersion);
  for (let i = 0; i < (parts.dependentVolumes ?? 0); i += 1) writer.tag(14, WireType.LengthDelimited).string("");
  if (parts.unknownField !== undefined) writer.tag(parts.unknownField, WireType.LengthDelimited).string("news");
  return Buffer.from(writer.finish());
}

function writeFlags(writer: BinaryWriter, field: number, set: readonly number[] | undefined): void {
  if (set === undefined) return;
  writer.tag(field, WireType.LengthDelimited).fork();
  for (const flag of [1, 2, 3]) writer.tag(flag, WireType.Varint).bool(set.includes(flag));
  writer.join();
}
