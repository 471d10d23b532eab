import { AgentError } from "../model/errors.ts";
import type { Side } from "../model/job.ts";
import type { Config, Host, HostPolicies, KindPolicies, Project } from "./config.ts";
import { offsiteOf } from "./offsite-of.ts";
import { parseJson } from "./parse-json.ts";
import { problemsOf, wording } from "./problems.ts";
import { ConfigFile } from "./schema.ts";

/** Reads the text of config.json. Every problem is named at once, each by its path and line. */
export function parseConfig(text: string): Config {
  const json = parseJson(text);
  const slips = json.problems.map(({ line, column, message }) => `line ${line}, column ${column}: ${message}`);
  if (json.value === undefined) throw unusable(slips);
  const read = ConfigFile.safeParse(json.value, { error: wording });
  const problems = [...slips, ...problemsOf(read.error, json.lines)];
  if (!read.success || problems.length > 0) throw unusable(problems);
  return configOf(read.data);
}

function unusable(problems: readonly string[]): AgentError {
  const list = problems.map((problem) => `  ${problem.replaceAll("\n", "\n  ")}`).join("\n");
  return new AgentError("config.invalid", `Cannot use the configuration:\n${list}`, {
    hint: "Every key is explained by iab schema, and shown in config.json.example",
  });
}

function configOf({ iab, hosts, projects, retention, offsite }: ConfigFile): Config {
  return {
    credentialsFolder: iab.iabCredDir,
    uuid: iab.uuid || undefined,
    healthchecksUrl: iab.healthchecksUrl,
    gotifyUrl: iab.gotifyUrl,
    concurrency: iab.concurrency,
    operationTimeoutMs: iab.operationTimeout,
    bandwidthLimit: iab.bandwidthLimit,
    hosts: { source: hostOf(hosts, "source"), target: hostOf(hosts, "target") },
    projects: projects.map((project) => projectOf(project, iab.stopInstance)),
    retention: {
      source: policiesOf(retention?.hosts?.source),
      target: policiesOf(retention?.hosts?.target),
    },
    offsite: offsite && offsiteOf(offsite),
  };
}

/** IAB 1.2.0 wrote its first configuration with empty names: such a host is called by its role. */
function hostOf(hosts: ConfigFile["hosts"], side: Side): Host {
  const host = hosts.find(({ role }) => role === side);
  return { name: host?.name.trim() || side, url: host?.url ?? "" };
}

function projectOf(file: ConfigFile["projects"][number], stopInstance: boolean): Project {
  const { name, targetProject = name, mode, history, target } = file;
  return {
    name,
    targetProject,
    mode: mode === "" ? "push" : mode,
    history,
    instances: file.instances.map((instance) => ({
      name: instance.name,
      rootPool: instance.storage || undefined,
      excludeDevices: instance.excludeDevices,
      stop: instance.stop ?? stopInstance,
      targetMember: instance.target ?? target,
    })),
    volumes: file.volumes.map((volume) => ({
      name: volume.name,
      pool: volume.storage,
      targetPool: volume.targetStorage ?? volume.storage,
      targetMember: volume.target ?? target,
    })),
  };
}

type HostPoliciesFile = NonNullable<NonNullable<NonNullable<ConfigFile["retention"]>["hosts"]>["source"]>;
type KindPoliciesFile = HostPoliciesFile["projects"][string]["instances"];

function policiesOf(file: HostPoliciesFile | undefined): HostPolicies {
  return {
    default: file?.default,
    projects: new Map(
      Object.entries(file?.projects ?? {}).map(([name, project]) => [
        name,
        { default: project.default, instances: kindOf(project.instances), volumes: kindOf(project.volumes) },
      ]),
    ),
  };
}

function kindOf(file: KindPoliciesFile): KindPolicies {
  const byName = Object.entries(file?.byName ?? {}).flatMap(([name, policy]) =>
    policy === undefined ? [] : [[name, policy] as const],
  );
  return { default: file?.default, byName: new Map(byName) };
}
