import type { BandwidthLimit } from "../model/bandwidth.ts";
import type { History, Mode, Side } from "../model/job.ts";
import type { OffsiteConfig } from "../model/offsite.ts";
import type { Policy } from "../model/policy.ts";
import type { SecretRef } from "../model/secret.ts";

/** What config.json says, with every default in place. */
export type Config = {
  /** Relative to the folder of config.json, as IAB 1.2.0 read it from where it stood. */
  readonly credentialsFolder: string;
  readonly uuid: string | undefined;
  readonly healthchecksUrl: SecretRef | undefined;
  readonly gotifyUrl: SecretRef | undefined;
  /** Copies at a time. */
  readonly concurrency: number;
  /** An operation that makes no progress for this long is given up. */
  readonly operationTimeoutMs: number;
  readonly bandwidthLimit: BandwidthLimit | undefined;
  readonly hosts: Readonly<Record<Side, Host>>;
  readonly projects: readonly Project[];
  readonly retention: Readonly<Record<Side, HostPolicies>>;
  /** Undefined where the Kopia module is not set up. */
  readonly offsite: OffsiteConfig | undefined;
};

/** A server, by the name that reports and marks give it and by its base address. */
export type Host = { readonly name: string; readonly url: string };

export type Project = {
  readonly name: string;
  readonly targetProject: string;
  readonly mode: Mode;
  readonly history: History;
  readonly instances: readonly InstanceEntry[];
  readonly volumes: readonly VolumeEntry[];
};

/** An instance of the configuration; the name may be a glob. */
export type InstanceEntry = {
  readonly name: string;
  readonly rootPool: string | undefined;
  readonly excludeDevices: readonly string[];
  readonly stop: boolean;
  /** In a cluster: the member, or `@group`, for a new replica. */
  readonly targetMember: string | undefined;
};

/** A custom volume of the configuration; the name may be a glob. */
export type VolumeEntry = {
  readonly name: string;
  readonly pool: string;
  readonly targetPool: string;
  readonly targetMember: string | undefined;
};

/** One side's policies, each level undefined where it leaves the decision to the one above. */
export type HostPolicies = {
  readonly default: Policy | undefined;
  readonly projects: ReadonlyMap<string, ProjectPolicies>;
};

export type ProjectPolicies = {
  readonly default: Policy | undefined;
  readonly instances: KindPolicies;
  readonly volumes: KindPolicies;
};

export type KindPolicies = {
  readonly default: Policy | undefined;
  readonly byName: ReadonlyMap<string, Policy>;
};
