/** Files by their paths; of a block volume its bytes alone, under an empty path. All of it is in memory. */
export type Contents = ReadonlyMap<string, Uint8Array>;

/** What a small volume and its snapshots hold. */
export type VolumeContents = { readonly head: Contents; readonly snapshots: ReadonlyMap<string, Contents> };
