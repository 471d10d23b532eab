import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { AgentError } from "../model/errors.ts";

/** How the data of a volume travels, by the numbers that Incus gives it on the wire. */
export const FS_TYPES = { rsync: 0, btrfs: 1, zfs: 2, rbd: 3, blockAndRsync: 4, linstor: 5 } as const;

/** A snapshot as the two servers tell each other of it. */
export type OfferedSnapshot = {
  readonly name: string;
  /** Whole seconds for instances, nanoseconds for volumes; undefined where the server does not say. */
  readonly createdAt: bigint | undefined;
};

/** What the agent reads of a `MigrationHeader`: the source's offer, or the target's answer to it. */
export type MigrationHeader = {
  readonly fsType: number;
  readonly snapshotNames: readonly string[];
  readonly snapshots: readonly OfferedSnapshot[];
  readonly refresh: boolean;
  readonly indexHeaderVersion: number;
  /** Of a block volume, in bytes; 0 where the server does not say. */
  readonly volumeSize: number;
  /** By their numbers, those that are set. */
  readonly zfsFeatures: readonly number[];
  readonly btrfsFeatures: readonly number[];
  /** Volumes of the instance travel with it, each with snapshots of its own. */
  readonly hasDependentVolumes: boolean;
  /** Numbers of fields that this agent has never heard of. */
  readonly unknownFields: readonly number[];
};

/** Of the features of ZFS and btrfs, the one that announces a list of snapshots in the data channel. */
export const LIST_FEATURE = { zfs: 2, btrfs: 1 } as const;

type Draft = {
  -readonly [K in keyof MigrationHeader]: MigrationHeader[K] extends readonly (infer E)[] ? E[] : MigrationHeader[K];
};

type Field = { readonly wireType: WireType; readonly read: (reader: BinaryReader, header: Draft) => void };

const NAMES_FIELD = 4;
const SNAPSHOTS_FIELD = 5;

const FIELDS: ReadonlyMap<number, Field> = new Map([
  [
    1,
    varint((reader, header) => {
      header.fsType = reader.int32();
    }),
  ],
  [NAMES_FIELD, bytes((reader, header) => header.snapshotNames.push(reader.string()))],
  [SNAPSHOTS_FIELD, bytes((reader, header) => header.snapshots.push(readSnapshot(new BinaryReader(reader.bytes()))))],
  [
    9,
    varint((reader, header) => {
      header.refresh = reader.bool();
    }),
  ],
  [
    10,
    bytes((reader, header) => {
      header.zfsFeatures = readFlags(new BinaryReader(reader.bytes()));
    }),
  ],
  [
    11,
    varint((reader, header) => {
      header.volumeSize = Number(reader.int64());
    }),
  ],
  [
    12,
    bytes((reader, header) => {
      header.btrfsFeatures = readFlags(new BinaryReader(reader.bytes()));
    }),
  ],
  [
    13,
    varint((reader, header) => {
      header.indexHeaderVersion = reader.uint32();
    }),
  ],
  [
    14,
    bytes((reader, header) => {
      header.hasDependentVolumes = reader.bytes().length >= 0;
    }),
  ],
]);

/** Known, and of no concern: process state, id maps, rsync's features. */
const PASSED_OVER: readonly number[] = [2, 3, 7, 8];

/** Field numbers of `Snapshot`. */
const SNAPSHOT = { name: 1, ephemeral: 4, architecture: 6, stateful: 7, createdAt: 8 } as const;

/** Reads a header. What is no protobuf message, or lacks the type of the data, is a bad reply. */
export function decodeHeader(message: Uint8Array): MigrationHeader {
  try {
    return readHeader(new BinaryReader(message));
  } catch (cause) {
    if (cause instanceof AgentError) throw cause;
    throw new AgentError("incus.bad-reply", "The server's migration header cannot be read", { cause });
  }
}

/**
 * Whether a message is no header but a server's word that it has failed, which may come in the header's place: its
 * second field is a text, a header's second field is a number.
 */
export function isFailureMessage(message: Uint8Array): boolean {
  try {
    const reader = new BinaryReader(message);
    const [first, firstType] = reader.tag();
    if (first !== 1 || firstType !== WireType.Varint || reader.bool()) return false;
    if (reader.pos === reader.len) return true;
    const [second, secondType] = reader.tag();
    return second === 2 && secondType === WireType.LengthDelimited;
  } catch {
    return false;
  }
}

/**
 * Adds snapshots to a header without touching what is there: of two messages one behind the other, repeated fields
 * add up, and fields that the agent does not know survive.
 */
export function appendSnapshots(header: Uint8Array, snapshots: readonly OfferedSnapshot[]): Buffer {
  const more = new BinaryWriter();
  for (const { name } of snapshots) more.tag(NAMES_FIELD, WireType.LengthDelimited).string(name);
  for (const snapshot of snapshots) {
    more.tag(SNAPSHOTS_FIELD, WireType.LengthDelimited).fork();
    writeSnapshot(more, snapshot);
    more.join();
  }
  return Buffer.concat([header, more.finish()]);
}

/** The answer of a receiver on ZFS that asks for no snapshot, and can do all that is known today. */
export function zfsAnswer(): Buffer {
  const answer = new BinaryWriter();
  answer.tag(1, WireType.Varint).int32(FS_TYPES.zfs);
  answer.tag(9, WireType.Varint).bool(true);
  answer.tag(10, WireType.LengthDelimited).fork();
  for (const feature of [1, 2, 3]) answer.tag(feature, WireType.Varint).bool(true);
  answer.join();
  answer.tag(13, WireType.Varint).uint32(1);
  return Buffer.from(answer.finish());
}

function writeSnapshot(writer: BinaryWriter, { name, createdAt }: OfferedSnapshot): void {
  writer.tag(SNAPSHOT.name, WireType.LengthDelimited).string(name);
  // Required by the message, and read for no snapshot that the target has already.
  writer.tag(SNAPSHOT.ephemeral, WireType.Varint).bool(false);
  writer.tag(SNAPSHOT.architecture, WireType.Varint).int32(0);
  writer.tag(SNAPSHOT.stateful, WireType.Varint).bool(false);
  if (createdAt !== undefined) writer.tag(SNAPSHOT.createdAt, WireType.Varint).int64(createdAt);
}

function readHeader(reader: BinaryReader): MigrationHeader {
  const header: Draft = {
    fsType: -1,
    snapshotNames: [],
    snapshots: [],
    refresh: false,
    indexHeaderVersion: 0,
    volumeSize: 0,
    zfsFeatures: [],
    btrfsFeatures: [],
    hasDependentVolumes: false,
    unknownFields: [],
  };
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const field = FIELDS.get(number);
    if (field === undefined) {
      if (!PASSED_OVER.includes(number)) header.unknownFields.push(number);
      reader.skip(wireType, number);
    } else if (field.wireType === wireType) {
      field.read(reader, header);
    } else {
      throw new AgentError("incus.bad-reply", `Field ${number} of the server's migration header is not of its type`);
    }
  }
  if (header.fsType < 0) throw new AgentError("incus.bad-reply", "The server's migration header names no type of data");
  return header;
}

function readSnapshot(reader: BinaryReader): OfferedSnapshot {
  let name = "";
  let createdAt: bigint | undefined;
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === SNAPSHOT.name && wireType === WireType.LengthDelimited) name = reader.string();
    else if (number === SNAPSHOT.createdAt && wireType === WireType.Varint) createdAt = BigInt(reader.int64());
    else reader.skip(wireType, number);
  }
  return { name, createdAt };
}

/** The numbers of the fields that are true in a message of nothing but booleans. */
function readFlags(reader: BinaryReader): number[] {
  const set: number[] = [];
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (wireType !== WireType.Varint) reader.skip(wireType, number);
    else if (reader.bool()) set.push(number);
  }
  return set;
}

function varint(read: Field["read"]): Field {
  return { wireType: WireType.Varint, read };
}

function bytes(read: Field["read"]): Field {
  return { wireType: WireType.LengthDelimited, read };
}
