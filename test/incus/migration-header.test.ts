import fc from "fast-check";
import { expect, test } from "vitest";
import {
  appendSnapshots,
  decodeHeader,
  FS_TYPES,
  isFailureMessage,
  LIST_FEATURE,
} from "../../src/incus/migration-header.ts";
import { AgentError } from "../../src/model/errors.ts";
import { headerBytes } from "./headers.ts";

const snapshot = fc.record({ name: fc.string(), createdAt: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) });
const parts = fc.record(
  {
    fsType: fc.integer({ min: 0, max: 5 }),
    snapshots: fc.array(snapshot, { maxLength: 20 }),
    refresh: fc.boolean(),
    indexHeaderVersion: fc.nat({ max: 9 }),
    zfsFeatures: fc.subarray([1, 2, 3]),
    btrfsFeatures: fc.subarray([1, 2, 3]),
    unknownField: fc.integer({ min: 15, max: 900 }),
  },
  { requiredKeys: ["snapshots"] },
);

test("decodeHeader() reads what a server wrote", () => {
  const snapshots = [
    { name: "IAB_20261120-060000", createdAt: 1_795_154_400n },
    { name: "by-hand", createdAt: 1_795_154_400_123_456_789n },
  ];
  const header = decodeHeader(
    headerBytes({ fsType: 2, snapshots, refresh: true, zfsFeatures: [1, 2], indexHeaderVersion: 1 }),
  );
  expect(header).toEqual({
    fsType: FS_TYPES.zfs,
    snapshotNames: ["IAB_20261120-060000", "by-hand"],
    snapshots,
    refresh: true,
    indexHeaderVersion: 1,
    volumeSize: 1_073_741_824,
    zfsFeatures: [1, LIST_FEATURE.zfs],
    btrfsFeatures: [],
    hasDependentVolumes: false,
    unknownFields: [],
  });
});

test("decodeHeader() names fields it does not know, and tells of dependent volumes", () => {
  expect(decodeHeader(headerBytes({ unknownField: 15 })).unknownFields).toEqual([15]);
  expect(decodeHeader(headerBytes({ dependentVolumes: 2 }))).toMatchObject({
    hasDependentVolumes: true,
    unknownFields: [],
  });
});

test("decodeHeader() finds any header's snapshots", () => {
  fc.assert(
    fc.property(parts, (written) => {
      const read = decodeHeader(headerBytes(written));
      expect(read.snapshots).toEqual(written.snapshots);
      expect(read.snapshotNames).toEqual(written.snapshots.map(({ name }) => name));
      expect(read.refresh).toBe(written.refresh ?? false);
      expect(read.zfsFeatures).toEqual(written.zfsFeatures ?? []);
      expect(read.unknownFields).toEqual(written.unknownField === undefined ? [] : [written.unknownField]);
    }),
  );
});

test("appendSnapshots() adds at the end and leaves every byte before it alone", () => {
  fc.assert(
    fc.property(parts, fc.array(snapshot, { maxLength: 20 }), (written, more) => {
      const before = headerBytes(written);
      const after = appendSnapshots(before, more);
      expect(after.subarray(0, before.length).equals(before)).toBe(true);
      const [was, is] = [decodeHeader(before), decodeHeader(after)];
      expect(is).toEqual({
        ...was,
        snapshots: [...was.snapshots, ...more],
        snapshotNames: [...was.snapshotNames, ...more.map(({ name }) => name)],
      });
    }),
  );
});

test("appendSnapshots() of nothing changes nothing", () => {
  const header = headerBytes({ snapshots: [{ name: "s0", createdAt: 1n }] });
  expect(appendSnapshots(header, []).equals(header)).toBe(true);
});

test("decodeHeader() of anything else is a bad reply", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        expect(decodeHeader(bytes).fsType).toBeGreaterThanOrEqual(0);
      } catch (error) {
        expect(error).toBeInstanceOf(AgentError);
        expect(error).toMatchObject({ code: "incus.bad-reply" });
      }
    }),
  );
  expect(() => decodeHeader(Buffer.from('{"error":"no"}'))).toThrow(AgentError);
  expect(() => decodeHeader(Buffer.alloc(0))).toThrow("names no type of data");
  expect(() => decodeHeader(Buffer.from([0x0a, 0x00]))).toThrow("Field 1");
});

test("isFailureMessage() tells a failure from a header of any kind", () => {
  expect(isFailureMessage(Buffer.from([0x08, 0x00]))).toBe(true);
  expect(isFailureMessage(Buffer.from([0x08, 0x00, 0x12, 0x02, 0x6e, 0x6f]))).toBe(true);
  expect(isFailureMessage(Buffer.from([0x08, 0x01]))).toBe(false);
  expect(isFailureMessage(Buffer.from([0x08, 0x00, 0x10, 0x02]))).toBe(false);
  expect(isFailureMessage(Buffer.alloc(0))).toBe(false);
  fc.assert(fc.property(parts, (written) => !isFailureMessage(headerBytes(written))));
});
