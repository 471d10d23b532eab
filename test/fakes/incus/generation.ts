/** Where the two generations of Incus differ, as far as the agent can see it. */
export type Generation = {
  readonly version: string;
  /** A failed operation's wait is an error envelope; else the operation itself, with the error in it. */
  readonly waitFailsAsError: boolean;
  /** Volumes are listed with their snapshots by recursion=2; else snapshots are volumes of their own. */
  readonly fullVolumes: boolean;
  /** The list of pools answers to a restricted certificate. */
  readonly poolsForRestricted: boolean;
  /** Lists of a project that a certificate may not see are empty; else they are refused. */
  readonly forbiddenListsAreEmpty: boolean;
  /** All migration operations can be cancelled; else an instance's source only. */
  readonly cancelsAllMigrations: boolean;
  /** A volume's source hears of the target's success even if the data took longer than 30 s. */
  readonly tellsLateSuccess: boolean;
  /** A PATCH of an instance without a description leaves it alone; else it is blanked. */
  readonly patchKeepsDescription: boolean;
  /** ZFS refreshes from the newest common GUID; else by the oldest, with all that goes wrong then. */
  readonly zfsNewestCommon: boolean;
  /** Who may not use a project makes no profile in it by way of another that borrows from it. */
  readonly guardsLentProfiles: boolean;
  /** Pending tokens hide from restricted certificates. */
  readonly hidesTokens: boolean;
  /** Snapshot names must be plain ASCII with a letter or digit at both ends. */
  readonly strictSnapshotNames: boolean;
  /** An operation that has nothing to tell has null for metadata; else an empty object. */
  readonly nullMetadata: boolean;
  /** Who is not trusted is told the extensions too. */
  readonly extensionsForAll: boolean;
  /** A new instance may have a disk whose volume is not there; it fails when it is started. */
  readonly acceptsMissingVolumes: boolean;
  /** Duplicates and protection in newer words. */
  readonly newWords: boolean;
  /** The longest JSON body that is read. */
  readonly longestBodyBytes: number;
  /** Backups are streamed as they are made. */
  readonly directBackup: boolean;
  /** There is a way through to IncusOS. */
  readonly osProxy: boolean;
  readonly extensions: readonly string[];
};

const BASELINE = [
  "etag",
  "patch",
  "projects",
  "container_push",
  "container_push_target",
  "container_incremental_copy",
  "container_full",
  "event_lifecycle",
  "event_project",
  "operation_wait",
  "instance_get_full",
  "instance_all_projects",
  "storage_volumes_all_projects",
  "networks_all_projects",
  "profiles_all_projects",
  "custom_volume_refresh",
  "custom_volume_refresh_exclude_older_snapshots",
  "certificate_token",
  "certificate_project",
  "snapshot_expiry_creation",
  "custom_volume_snapshot_expiry",
  "instance_allow_inconsistent_copy",
  "instance_create_start",
  "instance_move_config",
  "api_filtering",
  "api_filtering_extended",
  "instance_access",
  "project_access",
];

const SINCE_7 = [
  "snapshot_manual_expiry",
  "backup_s3_upload",
  "custom_volume_sftp",
  "backup_override_config",
  "file_storage_volume",
  "storage_volume_full",
  "direct_backup",
  "instance_snapshot_disk_only_restore",
  "dependent",
  "storage_volume_nbd",
  "projects_restricted_storage_pool_access",
  "instance_nbd",
  "core_https_allowed_websocket_origin",
  "authorization_client_routing",
  "instance_protection_start",
  "instance_refresh_migration",
];

export const GENERATIONS = {
  "6.0": {
    version: "6.0.4",
    waitFailsAsError: true,
    fullVolumes: false,
    poolsForRestricted: false,
    forbiddenListsAreEmpty: false,
    cancelsAllMigrations: false,
    tellsLateSuccess: false,
    patchKeepsDescription: false,
    zfsNewestCommon: false,
    guardsLentProfiles: false,
    hidesTokens: false,
    strictSnapshotNames: false,
    nullMetadata: true,
    extensionsForAll: true,
    acceptsMissingVolumes: false,
    newWords: false,
    longestBodyBytes: Number.POSITIVE_INFINITY,
    directBackup: false,
    osProxy: false,
    extensions: BASELINE,
  },
  "7.0": {
    version: "7.0.2",
    waitFailsAsError: false,
    fullVolumes: true,
    poolsForRestricted: true,
    forbiddenListsAreEmpty: true,
    cancelsAllMigrations: true,
    tellsLateSuccess: true,
    patchKeepsDescription: true,
    zfsNewestCommon: true,
    guardsLentProfiles: true,
    hidesTokens: true,
    strictSnapshotNames: true,
    nullMetadata: false,
    extensionsForAll: false,
    acceptsMissingVolumes: true,
    newWords: true,
    longestBodyBytes: 1024 * 1024,
    directBackup: true,
    osProxy: true,
    extensions: [...BASELINE, ...SINCE_7],
  },
} as const satisfies Record<string, Generation>;

export type GenerationName = keyof typeof GENERATIONS;
