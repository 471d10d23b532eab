import type { KopiaStorage } from "./storage.ts";

/** What the agent tells Kopia of a repository, itself and its cache. */
export type KopiaConfig = {
  readonly storage: KopiaStorage;
  readonly hostname: string;
  readonly username: string;
  readonly cacheFolder: string;
  readonly contentBytes: number;
  readonly metadataBytes: number;
  readonly uploadBytesPerSecond: number | undefined;
};

/**
 * Kopia's own configuration file. Written by us rather than by `connect`: so it never names another host or user, and a
 * wrong password does not take it away.
 */
export function configText(config: KopiaConfig): string {
  const { storage, hostname, username, cacheFolder, contentBytes, metadataBytes, uploadBytesPerSecond } = config;
  const throttlingLimits = uploadBytesPerSecond && { maxUploadSpeedBytesPerSecond: uploadBytesPerSecond };
  return JSON.stringify({
    storage,
    hostname,
    username,
    enableActions: false,
    // What is cached would hide that the password has changed, or that the bucket is gone.
    formatBlobCacheDuration: -1,
    caching: {
      cacheDirectory: cacheFolder,
      maxCacheSize: contentBytes,
      maxMetadataCacheSize: metadataBytes,
      maxListCacheDuration: 30,
    },
    throttlingLimits,
  });
}

/** The storage as Kopia takes it on stdin. */
export function tokenText(storage: KopiaStorage): string {
  const bytes = new TextEncoder().encode(JSON.stringify({ version: "1", storage }));
  const base64 = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
