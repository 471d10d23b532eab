import type { Progress } from "./copy.ts";
import type { EpochMs } from "./time.ts";
import type { InstanceUnit, Unit, VolumeUnit } from "./unit.ts";

/** What the API says of an object, word for word. */
export type Words = Readonly<Record<string, unknown>>;

/** All that the API says of a workload: with its content, what it takes to make it again. */
export type UnitRecord =
  | {
      readonly kind: "instance";
      readonly instance: Words;
      /** Of the root disk. */
      readonly volume: Words;
      readonly pool: PoolWords;
      readonly profiles: readonly Words[];
    }
  | { readonly kind: "volume"; readonly volume: Words; readonly pool: PoolWords };

export type PoolWords = { readonly name: string; readonly driver: string };

/** A temporary copy that a server makes of a snapshot. */
export type TemporaryCopy =
  | {
      readonly kind: "instance";
      readonly of: InstanceUnit;
      readonly snapshot: string;
      readonly name: string;
      readonly config: Readonly<Record<string, string>>;
      readonly devices: Readonly<Record<string, Readonly<Record<string, string>>>>;
    }
  | {
      readonly kind: "volume";
      readonly of: VolumeUnit;
      readonly snapshot: string;
      readonly name: string;
      readonly contentType: string;
      readonly config: Readonly<Record<string, string>>;
    };

/** How the file of a unit is made. */
export type ExportOptions = {
  /** Of the file where the server has to make one; it bears this name until it is removed. */
  readonly name: string;
  /** When the server itself is to remove it, should we be gone by then. */
  readonly expiresAt: EpochMs;
};

/** Where a file becomes a unit again, and where its content goes. */
export type ImportTarget = { readonly unit: Unit; readonly pool: string };

/** Workloads as Incus's own backup files: out of a server, and in again. */
export type UnitFiles = {
  /** All that the API says of a unit; undefined if there is none. */
  recordOf(unit: Unit, signal: AbortSignal): Promise<UnitRecord | undefined>;
  /** Takes a snapshot that the server removes by itself when its time has come. */
  createPassingSnapshot(unit: Unit, name: string, expiresAt: EpochMs, signal: AbortSignal): Promise<void>;
  /** Makes a unit of its own out of a snapshot, on the same server. */
  copySnapshot(copy: TemporaryCopy, signal: AbortSignal): Promise<void>;
  /**
   * The unit without its snapshots as an uncompressed tar. It comes to its end only if the server calls its work a
   * success; until then whatever goes wrong throws. That its bytes are all there is for who reads them to see.
   */
  exportFile(unit: Unit, options: ExportOptions, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Makes a unit of such a tar; done when it is there. What a failure leaves behind is the caller's to remove. */
  importFile(
    target: ImportTarget,
    bytes: AsyncIterable<Uint8Array>,
    onProgress: (progress: Progress) => void,
    signal: AbortSignal,
  ): Promise<void>;
};
