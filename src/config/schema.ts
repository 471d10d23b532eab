import { z } from "zod";
import { globPattern } from "../model/glob.ts";
import { SIDES } from "../model/job.ts";
import { findCollisions } from "./collisions.ts";
import { Bandwidth, Duration, PolicyText, ServerUrl, ServiceUrl, Text } from "./fields.ts";
import { keyed } from "./keyed.ts";
import { Offsite } from "./offsite-schema.ts";

const FOLLOWED_BY_TARGET = "While --iOSfix is true, the default, the target follows the source's policies.";

const Iab = keyed({
  iabCredDir: Text.meta({ description: "The folder of the client certificate and of the servers' pinned ones." }),
  uuid: z.string().optional().meta({ description: "Names this installation; written by iab onboard." }),
  stopInstance: z.boolean().default(false).meta({ description: "Stop running instances for their snapshot." }),
  healthchecksUrl: ServiceUrl.optional().meta({ description: "A Healthchecks ping address, without /start." }),
  gotifyUrl: ServiceUrl.optional().meta({ description: "A Gotify message address, token included." }),
  concurrency: z
    .int({ error: () => "expected a whole number" })
    .min(1, "cannot be less than 1")
    .max(64, "cannot be more than 64")
    .default(4)
    .meta({ description: "Copies at a time." }),
  operationTimeout: Duration.prefault("6h").meta({
    description: "Without any progress for this long, an operation is given up: 90min, 6h.",
  }),
  bandwidthLimit: Bandwidth.optional().meta({
    description: 'Of relay mode: "50MiB/s", or by the hour {"22:00-06:00": "unlimited", "*": "20MiB/s"}.',
  }),
});

const Host = keyed({
  name: z.string().default("").meta({ description: "What reports and replicas call the server." }),
  role: z.enum(SIDES),
  url: ServerUrl.meta({ description: "Its address: https://192.0.2.10:8443" }),
});

const Hosts = z
  .array(Host)
  .superRefine(
    (hosts, context) => {
      for (const side of SIDES) {
        const count = hosts.filter((host: unknown) => roleOf(host) === side).length;
        if (count === 1) continue;
        const what = count === 0 ? "none" : count;
        context.issues.push({ code: "custom", message: `expected exactly one ${side}, found ${what}`, input: hosts });
      }
    },
    // Counted even when a host has other faults: every problem is told at once.
    { when: ({ value }) => Array.isArray(value) },
  )
  .meta({ description: "Exactly one source and one target." });

function roleOf(host: unknown): unknown {
  return typeof host === "object" && host !== null && "role" in host ? host.role : undefined;
}

/** A name, or a glob that stands for all that matches on the source. */
const Name = Text.refine((name) => !/[/\s]/.test(name), "cannot hold a slash or a blank").refine(
  isReadableGlob,
  "is a pattern that cannot be read: in [ ] stand characters, or a range such as a-z",
);

function isReadableGlob(name: string): boolean {
  try {
    return globPattern(name).source !== "";
  } catch {
    return false;
  }
}

const Member = z
  .string()
  .regex(/^@?[^@\s]+$/, "expected a cluster member, or a group as @group")
  .optional()
  .meta({ description: "In a cluster: the member, or @group, that new replicas are made on." });

const Instance = keyed({
  name: Name.meta({ description: "The instance, or a pattern: web1, web*." }),
  storage: z.string().optional().meta({ description: "The target's pool for the root disk." }),
  excludeDevices: z.array(Text).default([]).meta({ description: "Devices the replica is made without, by name." }),
  stop: z.boolean().optional().meta({ description: "Stop it for its snapshot; else as iab.stopInstance says." }),
  target: Member,
});

const Volume = keyed({
  name: Name.meta({ description: "The custom volume, or a pattern." }),
  storage: Text.meta({ description: "The source's pool." }),
  targetStorage: Text.optional().meta({ description: "The target's pool, where it has another name." }),
  target: Member,
});

const Project = keyed({
  name: Text,
  description: z.string().optional().meta({ description: "For the reader of this file." }),
  mode: z
    .enum(["push", "pull", "relay", ""])
    .default("push")
    .meta({ description: "Who carries the data: the source pushes, the target pulls, or the agent relays." }),
  targetProject: Text.optional().meta({ description: "The project on the target, where it has another name." }),
  target: Member,
  history: z
    .enum(["mirror", "keep"])
    .default("mirror")
    .meta({ description: "keep: the target keeps what its own policy says, beyond the source's. Needs relay." }),
  instances: z.array(Instance).default([]),
  volumes: z.array(Volume).default([]),
}).superRefine(
  ({ history, mode }, context) => {
    if (history !== "keep" || !["push", "pull", ""].includes(mode)) return;
    const message = `"keep" needs "mode": "relay": else Incus deletes what the source has no more`;
    context.issues.push({ code: "custom", message, path: ["history"], input: history });
  },
  { when: ({ value }) => typeof value === "object" && value !== null },
);

const ByKind = keyed({
  default: PolicyText.optional(),
  byName: z.record(z.string(), PolicyText).default({}).meta({ description: "Policies of single ones, by name." }),
});

const ByProject = keyed({
  default: PolicyText.optional(),
  instances: ByKind.optional(),
  volumes: ByKind.optional(),
});

const ByHost = keyed({
  default: PolicyText.optional(),
  projects: z.record(z.string(), ByProject).default({}),
});

const Retention = keyed({
  hosts: keyed({
    source: ByHost.optional(),
    target: ByHost.optional().meta({ description: FOLLOWED_BY_TARGET }),
  }).optional(),
});

/** All of config.json. */
export const ConfigFile = keyed({
  $schema: z.string().optional(),
  iab: Iab,
  hosts: Hosts,
  projects: z.array(Project).default([]),
  retention: Retention.optional().meta({
    description: "What to keep, as 6,1h2d,1d2w: the most particular policy counts. Without one nothing is pruned.",
  }),
  offsite: Offsite.optional().meta({ description: "Encrypted backups by Kopia, in the fields of IncusOS's service." }),
})
  .superRefine(
    (config, context) => {
      for (const { path, message } of findCollisions(config)) {
        context.issues.push({ code: "custom", message, path: [...path], input: "" });
      }
    },
    { when: () => true },
  )
  .meta({ title: "Configuration of incus-autobackup" });

export type ConfigFile = z.output<typeof ConfigFile>;
