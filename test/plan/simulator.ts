import type { Job } from "../../src/model/job.ts";
import type { CopyStep, Plan, PruneStep, ReseedStep, Step } from "../../src/model/plan.ts";
import { isOwnSnapshotName, type Snapshot, snapshotName } from "../../src/model/snapshot.ts";
import type { Instance, State } from "../../src/model/state.ts";
import { type EpochMs, HOUR_MS, SECOND_MS } from "../../src/model/time.ts";
import { makePlan } from "../../src/plan/make-plan.ts";
import { ALL, instance, job, OLD, policy, stateOf } from "./fixtures.ts";

/** Where a run dies: before a step, or within it after so many of its parts. */
export type Crash = {
  /** Of the steps that the plan has, modulo their number. */
  readonly atStep: number;
  readonly afterParts: number;
  /** The servers die too: what is on its way leaves its record without its content. */
  readonly withServers: boolean;
};

export type Storage = "btrfs" | "zfs-6.0" | "zfs-7.0" | "dir" | "mixed";

export type Setting = {
  readonly storage: Storage;
  readonly history: "mirror" | "keep";
  readonly keep: string;
  readonly keepOnTarget: string;
};

type Held = { readonly snapshot: Snapshot; content: number | undefined };
type Replica = { readonly config: Record<string, string>; readonly held: Held[] };

/** Two servers with one instance, as far as snapshots go: what a refresh does to them, damage included. */
export class Simulator {
  now: EpochMs;
  content = 0;
  readonly source: Held[] = [];
  readonly targets = new Map<string, Replica>();
  /** Everything that should never happen, as it happened. */
  readonly wrongs: string[] = [];
  /** What plans have warned of, as no run has proven it. */
  readonly doubted = new Set<string>();
  private readonly setting: Setting;
  private readonly job: Job;

  constructor(setting: Setting, now: EpochMs) {
    this.setting = setting;
    this.now = now;
    const { history, keep, keepOnTarget } = setting;
    const retention = { source: policy(keep), target: policy(keepOnTarget) };
    this.job = job("web1", { history, retention, mode: history === "keep" ? "relay" : "pull" });
  }

  get replica(): Replica | undefined {
    return this.targets.get("web1");
  }

  get gapSafe(): boolean {
    return ["dir", "mixed", "zfs-7.0"].includes(this.setting.storage);
  }

  /** Somebody takes a snapshot of his own on the source. */
  takeForeign(): void {
    this.now += 3 * SECOND_MS;
    this.content += 1;
    // By name as by age: other orders can be more than btrfs can send.
    const name = `manual-${String(this.content).padStart(4, "0")}`;
    this.source.push({ snapshot: this.dated(name), content: this.content });
  }

  /** Somebody deletes one of the source's snapshots, by its place modulo their number. */
  deleteOnSource(place: number): void {
    if (this.source.length > 0) this.source.splice(place % this.source.length, 1);
  }

  deleteOnTarget(place: number): string | undefined {
    const held = this.replica?.held ?? [];
    return held.length === 0 ? undefined : held.splice(place % held.length, 1)[0]?.snapshot.name;
  }

  pass(hours: number): void {
    this.now += hours * HOUR_MS;
    this.content += 1;
  }

  plan(): Plan {
    return makePlan([this.job], this.state(), { now: this.now, run: snapshotName(this.now) });
  }

  /** One run: what it decides, carried out as far as it gets. */
  run(crash?: Crash): Plan {
    const plan = this.plan();
    for (const { code, text } of plan.warnings)
      if (code === "snapshot.unproven")
        for (const name of text.match(/IAB_[\d-]+|manual-\d+/g) ?? []) this.doubted.add(name);
    const last = crash === undefined ? plan.steps.length : crash.atStep % (plan.steps.length + 1);
    for (const step of plan.steps.slice(0, last)) this.carryOut(step, Number.POSITIVE_INFINITY, false);
    const broken = plan.steps[last];
    if (crash !== undefined && broken !== undefined) this.carryOut(broken, crash.afterParts, crash.withServers);
    this.now += 5 * SECOND_MS;
    return plan;
  }

  private carryOut(step: Step, parts: number, withServers: boolean): void {
    switch (step.kind) {
      case "rehearse":
        return;
      case "snapshot":
        if (parts === 0) return;
        this.now = Math.max(this.now, step.notBefore ?? 0);
        this.source.push({ snapshot: this.dated(step.name), content: this.content });
        return;
      case "copy":
        this.copy(step, parts, withServers);
        return;
      case "prune":
        this.prune(step, parts);
        return;
      case "reseed":
        this.reseed(step, parts);
        return;
      case "rename":
        if (parts > 0) this.rename(step.unit.name, step.name);
        return;
      case "adopt":
        if (parts > 0) Object.assign(this.replica?.config ?? {}, step.marks);
        return;
      default:
        this.wrongs.push(`an unexpected step ${step.id}`);
    }
  }

  private copy(step: CopyStep, parts: number, withServers: boolean): void {
    if (parts === 0) return;
    const isNew = this.replica === undefined;
    const replica = this.replica ?? { config: { ...step.copy.create.config }, held: [] };
    this.targets.set("web1", replica);
    if (!isNew) this.refreshBegins(replica, step);
    const has = (name: string) => replica.held.some(({ snapshot }) => snapshot.name === name);
    const wanted = this.source.filter(({ snapshot }) => step.sends.includes(snapshot.name) && !has(snapshot.name));
    const arriving = wanted.map(({ snapshot, content }) => ({ snapshot: truncated(snapshot), content }));
    if (!isNew && this.setting.storage === "btrfs") this.btrfsSends(wanted, replica);
    // The agent alone dies: the servers end the transfer. Both die: records are there before their content is.
    const whole = withServers ? parts - 1 : arriving.length;
    replica.held.push(...arriving.map((each, at) => (at < whole ? each : { ...each, content: undefined })));
    if (this.setting.storage !== "dir" && this.setting.storage !== "mixed") this.complete(replica);
    if (Number.isFinite(parts)) return;
    this.prove(step.proof, replica);
    Object.assign(replica.config, step.marks, this.guidMark(step));
  }

  /** What a refresh does to the target's list, and where that is damage. */
  private refreshBegins(replica: Replica, step: CopyStep): void {
    const onSource = new Set(this.source.map(({ snapshot }) => keyOf(snapshot)));
    const kept = new Set(step.copy.keep.map(({ name }) => name));
    for (const { name, guid } of step.copy.keep)
      if (guid !== undefined && guid !== `guid-${name}`) this.wrongs.push(`a wrong GUID for ${name}`);
    const common = replica.held.filter(({ snapshot }) => onSource.has(keyOf(snapshot)));
    const latest = Math.max(...common.map(({ snapshot }) => second(snapshot)));
    const there = new Set(replica.held.map(({ snapshot }) => snapshot.name));
    const gaps = this.source.filter(({ snapshot }) => !there.has(snapshot.name) && second(snapshot) <= latest);
    if (gaps.length > 0 && !this.gapSafe) this.wrongs.push(`a refresh over a gap: ${gaps.map(nameOf).join()}`);
    const rsync = ["dir", "mixed"].includes(this.setting.storage);
    if (common.length === 0 && (replica.held.length > 0 || !rsync)) this.wrongs.push("a refresh without a base");
    const stays = replica.held.filter((each) => onSource.has(keyOf(each.snapshot)) || kept.has(nameOf(each)));
    replica.held.splice(0, replica.held.length, ...stays);
  }

  /** Between like drivers a transfer goes by what is really there. */
  private complete(replica: Replica): void {
    for (const held of replica.held) {
      const origin = this.source.find(({ snapshot }) => snapshot.name === nameOf(held));
      if (held.content === undefined && origin !== undefined) held.content = origin.content;
    }
  }

  private prove(proof: readonly string[], { held }: Replica): void {
    const names = new Set(held.map(nameOf));
    const missing = proof.filter((name) => !names.has(name));
    if (missing.length > 0) this.wrongs.push(`not as the plan expects: lacks ${missing.join()}`);
    const surplus = [...names].filter((name) => !proof.includes(name));
    if (surplus.length > 0) this.wrongs.push(`not as the plan expects: has ${surplus.join()}`);
  }

  /** The driver builds the oldest that it sends on the one before it by name, which must be on the target. */
  private btrfsSends([oldest]: readonly Held[], replica: Replica): void {
    if (oldest === undefined) return;
    const { name } = oldest.snapshot;
    const names = this.source.map(({ snapshot }) => snapshot.name).sort();
    const parent = names[names.indexOf(name) - 1];
    if (parent !== undefined && !replica.held.some(({ snapshot }) => snapshot.name === parent))
      this.wrongs.push(`btrfs cannot send ${name} on top of ${parent}`);
  }

  private guidMark({ copy, proof }: CopyStep): Record<string, string> {
    if (!this.setting.storage.startsWith("zfs") || this.setting.history === "mirror") return {};
    const seen = this.source.map(({ snapshot }) => snapshot.name);
    const names = [...seen, ...copy.keep.map(({ name }) => name)].filter((name) => proof.includes(name));
    return { "user.iab.guids": JSON.stringify(Object.fromEntries(names.map((name) => [name, `guid-${name}`]))) };
  }

  private prune({ id, side, unit, removals, onlyIfGoneFrom }: PruneStep, parts: number): void {
    const held = side === "source" ? this.source : (this.targets.get(unit.name)?.held ?? []);
    const base = id.startsWith("retract-") ? undefined : this.newestCommon();
    for (const { name } of removals.slice(0, parts)) {
      if (onlyIfGoneFrom !== undefined && this.source.some((each) => nameOf(each) === name)) continue;
      if (!isOwnSnapshotName(name)) this.wrongs.push(`${id} deletes ${name}, which is not ours`);
      if (name === base) this.wrongs.push(`${id} deletes ${name}, the newest on both sides`);
      const at = held.findIndex((each) => nameOf(each) === name);
      if (at >= 0) held.splice(at, 1);
    }
  }

  private reseed(step: ReseedStep, parts: number): void {
    if (parts === 0) return;
    const fresh = step.copy.target.name;
    const held = this.source.map(({ snapshot, content }) => ({ snapshot: truncated(snapshot), content }));
    this.targets.set(fresh, { config: { ...step.copy.create.config }, held });
    if (parts === 1) return;
    Object.assign(this.targets.get(fresh)?.config ?? {}, step.marks);
    if (parts === 2) return;
    this.rename(step.replaces.name, step.keeps ? step.aside : "gone");
    this.targets.delete("gone");
    if (parts > 3) this.rename(fresh, step.replaces.name);
  }

  private rename(from: string, to: string): void {
    const replica = this.targets.get(from);
    if (replica === undefined || this.targets.has(to)) this.wrongs.push(`cannot rename ${from} to ${to}`);
    else this.targets.set(to, replica);
    this.targets.delete(from);
  }

  newestCommon(): string | undefined {
    const there = new Set((this.replica?.held ?? []).map(nameOf));
    return this.source.map(nameOf).findLast((name) => there.has(name));
  }

  private dated(name: string): Snapshot {
    const createdAtExact = new Date(this.now).toISOString().replace("Z", "321Z");
    return { name, createdAt: this.now, createdAtExact, expiresAt: undefined, sizeBytes: undefined };
  }

  private state(): State {
    const { storage } = this.setting;
    const can = storage === "zfs-7.0" ? ALL : OLD;
    const driver = storage.split("-")[0] ?? "";
    const source = instance("web1", { snapshots: this.source.map(({ snapshot }) => snapshot) });
    const targets = [...this.targets].map(
      ([name, { config, held }]): Instance =>
        instance(name, { config: { ...config }, snapshots: held.map(({ snapshot }) => snapshot) }),
    );
    return stateOf(
      { driver: driver === "mixed" ? "zfs" : driver, facts: { can }, instances: [source] },
      { driver: driver === "mixed" ? "dir" : driver, facts: { can }, instances: targets },
    );
  }
}

function nameOf({ snapshot }: Held): string {
  return snapshot.name;
}

function second({ createdAt }: Snapshot): number {
  return Math.floor(createdAt / SECOND_MS);
}

function keyOf(snapshot: Snapshot): string {
  return `${snapshot.name}@${second(snapshot)}`;
}

/** A replica of an instance shows whole seconds. */
function truncated(snapshot: Snapshot): Snapshot {
  const createdAt = second(snapshot) * SECOND_MS;
  return { ...snapshot, createdAt, createdAtExact: new Date(createdAt).toISOString().replace(".000Z", "Z") };
}
