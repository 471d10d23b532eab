import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { DeviceKeys, Keys } from "./state.ts";

/** How the data goes over the `fs` connection. */
export const FS = { rsync: 0, btrfs: 1, zfs: 2, blockAndRsync: 4 } as const;

export type HeaderSnapshot = {
  readonly name: string;
  readonly localConfig: Keys;
  readonly localDevices: DeviceKeys;
  readonly profiles: readonly string[];
  /** Unix seconds for instances, Unix nanoseconds for custom volumes. */
  readonly creationDate: bigint;
  readonly expiryDate: bigint;
};

/** The first message of each side on `control`: what is offered, and what is wanted of it. */
export type MigrationHeader = {
  readonly fs: number;
  readonly snapshotNames: readonly string[];
  readonly snapshots: readonly HeaderSnapshot[];
  /** Said by the target only. */
  readonly refresh: boolean | undefined;
  /** `migration_header` of ZFS: both sides tell their datasets' GUIDs. */
  readonly zfsMigrationHeader: boolean;
  /** `header_subvolume_uuids` of btrfs: both sides tell their subvolumes. */
  readonly btrfsSubvolumeUuids: boolean;
  readonly indexHeaderVersion: number;
  /** Of a block volume. */
  readonly volumeSize: number;
};

export function encodeHeader(header: MigrationHeader): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).int32(header.fs);
  for (const name of header.snapshotNames) writer.tag(4, WireType.LengthDelimited).string(name);
  for (const snapshot of header.snapshots) {
    writer.tag(5, WireType.LengthDelimited).fork();
    writeSnapshot(writer, snapshot);
    writer.join();
  }
  if (header.fs === FS.rsync) features(writer, 8, [true, true, true, true]);
  if (header.refresh !== undefined) writer.tag(9, WireType.Varint).bool(header.refresh);
  if (header.fs === FS.zfs) features(writer, 10, [true, header.zfsMigrationHeader]);
  writer.tag(11, WireType.Varint).int64(header.volumeSize);
  const uuids = header.btrfsSubvolumeUuids;
  if (header.fs === FS.btrfs) features(writer, 12, [uuids, uuids, uuids]);
  writer.tag(13, WireType.Varint).uint32(header.indexHeaderVersion);
  return writer.finish();
}

export function decodeHeader(bytes: Uint8Array): MigrationHeader {
  const numbers = new Map<number, number>();
  const snapshotNames: string[] = [];
  const snapshots: HeaderSnapshot[] = [];
  const features = new Map<number, boolean[]>();
  eachField(bytes, (field, type, reader) => {
    if (field === 4) snapshotNames.push(reader.string());
    else if (field === 5) snapshots.push(readSnapshot(reader.bytes()));
    else if (field === 10 || field === 12) features.set(field, readFeatures(reader.bytes()));
    else if (type === WireType.Varint) numbers.set(field, reader.int32());
    else reader.skip(type, field);
  });
  const refresh = numbers.get(9);
  return {
    fs: numbers.get(1) ?? 0,
    snapshotNames,
    snapshots,
    refresh: refresh === undefined ? undefined : refresh !== 0,
    zfsMigrationHeader: features.get(10)?.[2] ?? false,
    btrfsSubvolumeUuids: features.get(12)?.[3] ?? false,
    indexHeaderVersion: numbers.get(13) ?? 0,
    volumeSize: numbers.get(11) ?? 0,
  };
}

/** The last message of a side on `control`: whether all went well. */
export function encodeControl(error: string | undefined): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).bool(error === undefined);
  writer.tag(2, WireType.LengthDelimited).string(error ?? "");
  return writer.finish();
}

/** The error that a control message brings; undefined for success, or where the message is a header. */
export function controlError(bytes: Uint8Array): string | undefined {
  let success = false;
  let message = "";
  eachField(bytes, (field, type, reader) => {
    if (field === 1 && type === WireType.Varint) success = reader.bool();
    else if (field === 2 && type === WireType.LengthDelimited) message = reader.string();
    else reader.skip(type, field);
  });
  return success || message === "" ? undefined : message;
}

function eachField(bytes: Uint8Array, read: (field: number, type: WireType, reader: BinaryReader) => void): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    read(field, type, reader);
  }
}

function features(writer: BinaryWriter, field: number, flags: readonly boolean[]): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  for (const [at, flag] of flags.entries()) writer.tag(at + 1, WireType.Varint).bool(flag);
  writer.join();
}

/** By field number. */
function readFeatures(bytes: Uint8Array): boolean[] {
  const flags: boolean[] = [];
  eachField(bytes, (field, _, reader) => {
    flags[field] = reader.bool();
  });
  return flags;
}

function writeSnapshot(writer: BinaryWriter, snapshot: HeaderSnapshot): void {
  writer.tag(1, WireType.LengthDelimited).string(snapshot.name);
  writeKeys(writer, 2, snapshot.localConfig);
  for (const profile of snapshot.profiles) writer.tag(3, WireType.LengthDelimited).string(profile);
  writer.tag(4, WireType.Varint).bool(false);
  for (const [name, device] of Object.entries(snapshot.localDevices)) {
    writer.tag(5, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(name);
    writeKeys(writer, 2, device);
    writer.join();
  }
  writer.tag(6, WireType.Varint).int32(2);
  writer.tag(7, WireType.Varint).bool(false);
  writer.tag(8, WireType.Varint).int64(snapshot.creationDate);
  writer.tag(10, WireType.Varint).int64(snapshot.expiryDate);
}

function readSnapshot(bytes: Uint8Array): HeaderSnapshot {
  const snapshot = { name: "", creationDate: 0n, expiryDate: 0n };
  const localConfig: Keys = {};
  const localDevices: DeviceKeys = {};
  const profiles: string[] = [];
  eachField(bytes, (field, type, reader) => {
    if (field === 1) snapshot.name = reader.string();
    else if (field === 2) Object.assign(localConfig, readKey(reader.bytes()));
    else if (field === 3) profiles.push(reader.string());
    else if (field === 5) Object.assign(localDevices, readDevice(reader.bytes()));
    else if (field === 8) snapshot.creationDate = BigInt(reader.int64());
    else if (field === 10) snapshot.expiryDate = BigInt(reader.int64());
    else reader.skip(type, field);
  });
  return { ...snapshot, localConfig, localDevices, profiles };
}

function writeKeys(writer: BinaryWriter, field: number, keys: Keys): void {
  for (const [key, value] of Object.entries(keys)) {
    writer.tag(field, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(key);
    writer.tag(2, WireType.LengthDelimited).string(value);
    writer.join();
  }
}

function readKey(bytes: Uint8Array): Keys {
  const pair = ["", ""];
  eachField(bytes, (field, _, reader) => {
    pair[field - 1] = reader.string();
  });
  const [key = "", value = ""] = pair;
  return { [key]: value };
}

function readDevice(bytes: Uint8Array): DeviceKeys {
  let name = "";
  const keys: Keys = {};
  eachField(bytes, (field, _, reader) => {
    if (field === 1) name = reader.string();
    else Object.assign(keys, readKey(reader.bytes()));
  });
  return { [name]: keys };
}
