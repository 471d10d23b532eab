import type { Backup, BackupOf, BackupProgress, Maintained, Verified } from "./archive.ts";
import type { VolumeContents } from "./contents.ts";
import type { Copied, Copy, InstanceCopy, NewVolume, Progress, RootVolume } from "./copy.ts";
import type { OpenSubject, ReadingRun, Subject } from "./reading.ts";
import type { Snapshot } from "./snapshot.ts";
import type {
  Config,
  Devices,
  EmptyProfile,
  Instance,
  Member,
  Network,
  Pool,
  Profile,
  Project,
  ServerFacts,
  Space,
  Volume,
} from "./state.ts";
import type { EpochMs } from "./time.ts";
import type { InstanceUnit, Unit, VolumeUnit } from "./unit.ts";

/** Everything outside the program but the servers. `main.ts` builds the real one, a test builds its own. */
export type World = {
  readonly clock: Clock;
  readonly files: Files;
  readonly locks: Locks;
  readonly processes: Processes;
  readonly log: Log;
  readonly terminal: Terminal;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Writes to stdout, whole lines: the result and nothing else. */
  readonly print: (text: string) => void;
  /** Aborted by SIGINT and SIGTERM, with the signal's name as the reason. */
  readonly signal: AbortSignal;
};

export type Clock = {
  now(): EpochMs;
  sleep(durationMs: number, signal: AbortSignal): Promise<void>;
};

export type Files = {
  /** The text of a file; `files.unusable` where it cannot be read. */
  read(path: string, signal: AbortSignal): Promise<string>;
  exists(path: string): Promise<boolean>;
  /** Who may read and write a file or folder, as chmod counts it. */
  mode(path: string): Promise<number>;
  /** The names in a folder; none where there is no such folder. */
  list(folder: string): Promise<readonly string[]>;
  /** Replaces the file at once or not at all, readable by its owner only; a folder that is missing is made so too. */
  writePrivate(path: string, text: string): Promise<void>;
  /** Makes the folder, and closes it to all but its owner where it was open to others. */
  privateFolder(path: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Who holds the lock of a file; undefined where nobody does. Nobody is kept out by asking. */
  holder(path: string): Promise<string | undefined>;
  /** Takes the lock that dies with the process; `lock.held`, naming the holder, where another run has it. */
  lock(path: string): Promise<Lock>;
};

export type Lock = { release(): Promise<void> };

/** Locks that are known by a name on this machine, and die with the process. */
export type Locks = {
  /** `lock.held`, naming the holder, where another run has it. Whoever asks meanwhile is answered what `tell` says then. */
  take(name: string, tell: () => string): Promise<Lock>;
  /** What the holder tells; empty where it does not answer, undefined where nobody holds it. */
  ask(name: string): Promise<string | undefined>;
};

/** A program to run: never one string, never through a shell, secrets only in `environment` or `input`. */
export type Command = {
  readonly argv: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** A program whose input breaks off is killed before it can take the part that it got for the whole. */
  readonly input?: string | AsyncIterable<Uint8Array>;
  /** Its stdout is ours, rather than kept for the caller. */
  readonly toOurStdout?: boolean;
  /** How long it may take to end after the gentle signal, where that is not the usual time. */
  readonly graceMs?: number;
  /** Ends it at once and hard, where nothing is to be hoped for from a gentle end. */
  readonly killOn?: AbortSignal;
  /** Called with every line of stderr as it comes, for progress. */
  readonly onErrorLine?: (line: string) => void;
};

export type Finished = { readonly exitCode: number; readonly stdout: string; readonly stderr: string };

export type Processes = {
  /** Runs a program to its end, whatever its exit code; the signal ends it, gently first. */
  run(command: Command, signal: AbortSignal): Promise<Finished>;
  /** What a program writes, as it is read; how it ended comes last, without its stdout. Reading no further ends it. */
  output(command: Command, signal: AbortSignal): AsyncGenerator<Uint8Array, Finished>;
};

/** What lies at a path, links not followed. */
export type Found = {
  readonly kind: "folder" | "file" | "link" | "device" | "other";
  readonly inode: number;
  readonly sizeBytes: number;
};

/** The storage of this machine, beyond plain files. */
export type Disks = {
  /** Undefined where there is nothing. */
  look(path: string): Promise<Found | undefined>;
  /** Where a path leads, links and all; undefined where there is nothing. */
  target(path: string): Promise<string | undefined>;
  isBtrfs(path: string): Promise<boolean>;
  /** Removes a folder that is empty; any other stays, be it full, in use or not there. */
  removeEmpty(folder: string): Promise<void>;
  /** The bytes of a file or a device, as far as they go. */
  bytes(path: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
};

export type LogFacts = Readonly<Record<string, unknown>>;

/** One line each on stderr: a fixed event name (thing first), and what varies in the facts. */
export type Log = {
  debug(event: string, facts?: LogFacts): void;
  info(event: string, facts?: LogFacts): void;
  warn(event: string, facts?: LogFacts): void;
  error(event: string, facts?: LogFacts): void;
};

/** What the program may know of its terminal. */
export type Terminal = {
  /** Whether stdout, and stderr, are terminals. */
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** Whether there is somebody to ask. */
  readonly stdinIsTerminal: boolean;
  readonly columns: number;
  /** Asks on the terminal; secrets are not echoed. */
  ask(question: string, options: { readonly hidden: boolean }, signal: AbortSignal): Promise<string>;
  /** Says something to whoever sits there, beside the result. */
  tell(text: string): void;
  /** All that comes on stdin until its end. */
  readInput(signal: AbortSignal): Promise<string>;
  /** Shows a line in place on a stderr that is a terminal, below whatever else is written; an empty one takes it away. */
  draw(line: string): void;
};

/** What a server tells: each answer is complete, all projects, in a few requests however many workloads there are. */
export type ServerReader = {
  facts(signal: AbortSignal): Promise<ServerFacts>;
  /** What time it is there, to the second; undefined if it does not tell. */
  clock(signal: AbortSignal): Promise<EpochMs | undefined>;
  /** The members of a cluster; none on a server of its own. */
  members(signal: AbortSignal): Promise<readonly Member[]>;
  projects(signal: AbortSignal): Promise<readonly Project[]>;
  instances(signal: AbortSignal): Promise<readonly Instance[]>;
  /** `likely` are names that may be among them: some servers do not tell theirs, and answer for each one by its name. */
  pools(likely: readonly string[], signal: AbortSignal): Promise<readonly Pool[]>;
  space(pool: string, signal: AbortSignal): Promise<Space | undefined>;
  /** The custom volumes of the given pools. */
  volumes(pools: readonly string[], signal: AbortSignal): Promise<readonly Volume[]>;
  networks(signal: AbortSignal): Promise<readonly Network[]>;
  profiles(signal: AbortSignal): Promise<readonly Profile[]>;
  /** One unit's snapshots as they are now, oldest first, with sizes where the driver knows them. */
  snapshots(unit: Unit, signal: AbortSignal): Promise<readonly Snapshot[]>;
  /** One instance, or a unit's own configuration, as it is now; undefined if there is none. */
  instance(unit: InstanceUnit, signal: AbortSignal): Promise<Instance | undefined>;
  config(unit: Unit, signal: AbortSignal): Promise<Config | undefined>;
  /** All that the server says of a unit, in its own words, its snapshots and backups too. */
  describe(unit: Unit, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>>;
  /** About what sending a unit with all its snapshots comes to, in bytes; undefined where the server cannot tell. */
  usage(unit: Unit, signal: AbortSignal): Promise<number | undefined>;
  /** Of an instance's root volume: its configuration, undefined if there is none, and snapshots the instance knows not. */
  rootConfig(volume: RootVolume, signal: AbortSignal): Promise<Config | undefined>;
  halfSnapshots(volume: RootVolume, signal: AbortSignal): Promise<readonly string[]>;
  /** Whether the server is at work on the unit, or on which: a change of its state, a transfer, a snapshot. */
  isBusy(unit: Unit, signal: AbortSignal): Promise<boolean>;
  busy(signal: AbortSignal): Promise<readonly Unit[]>;
};

export type StateChange = "start" | "stop" | "freeze" | "unfreeze";
type Patience = { readonly timeoutMs: number; readonly force: boolean };

/** What a server does. Each call ends when the work is done, or throws why it is not. */
export type ServerWriter = {
  createSnapshot(unit: Unit, name: string, signal: AbortSignal): Promise<void>;
  deleteSnapshot(unit: Unit, name: string, signal: AbortSignal): Promise<void>;
  /** Asks an instance to stop within the time, and stops it hard only where `force` says so. */
  changeState(unit: InstanceUnit, change: StateChange, options: Patience, signal: AbortSignal): Promise<void>;
  /** Sets keys, and removes those that are empty; all else, the description too, stays as it is. */
  patchConfig(unit: Unit, config: Config, signal: AbortSignal): Promise<void>;
  /** Has an instance stay when it is stopped. */
  makeLasting(unit: InstanceUnit, signal: AbortSignal): Promise<void>;
  /** Sets keys of an instance's root volume; all else stays as it is. */
  patchRootConfig(volume: RootVolume, config: Config, signal: AbortSignal): Promise<void>;
  /** Sets the given devices of an instance as they are given; its other devices stay as they are. */
  patchDevices(unit: InstanceUnit, devices: Devices, signal: AbortSignal): Promise<void>;
  /** Instances that have a renamed volume follow it to its new name, as Incus has it. */
  rename(unit: Unit, name: string, signal: AbortSignal): Promise<void>;
  /** Makes a small volume that holds the given contents, with snapshots that are dated years ago, a day apart. */
  createVolume(unit: VolumeUnit, made: NewVolume, contents: VolumeContents, signal: AbortSignal): Promise<void>;
  /** Reads all that a small volume and its snapshots hold, as the server itself reads it for a backup. */
  contents(unit: VolumeUnit, signal: AbortSignal): Promise<VolumeContents>;
  /** One that is there already, by whomever and however it is filled, stays as it is. */
  createProfile(profile: EmptyProfile, signal: AbortSignal): Promise<void>;
  /** Deletes the whole unit with its snapshots. */
  remove(unit: Unit, signal: AbortSignal): Promise<void>;
};

export type Server = ServerReader & ServerWriter;

/** Both servers of a run, and the way from one to the other. */
export type Servers = {
  readonly source: Server;
  readonly target: Server;
  /** Refreshes the target from the source; done only if both servers call it a success. */
  copy(copy: Copy, onProgress: (progress: Progress) => void, signal: AbortSignal): Promise<Copied>;
  /** Removes snapshots of which the target keeps the volume alone; the copy is begun for that, and comes to no data. */
  mend(copy: InstanceCopy, names: readonly string[], signal: AbortSignal): Promise<void>;
  /** Ends all connections. */
  close(): Promise<void>;
};

/** Where backups are kept, encrypted. It knows the backups of its own host and user only. */
export type Archive = {
  /** Backs a folder up; done only if all of it was read, stored, and is in the archive's list. */
  backUpFolder(
    folder: string,
    what: BackupOf,
    onProgress: (progress: BackupProgress) => void,
    signal: AbortSignal,
  ): Promise<Backup>;
  /** Backs a stream up as one file. A stream that throws leaves no backup. */
  backUpStream(
    stream: { readonly name: string; readonly bytes: AsyncIterable<Uint8Array> },
    what: BackupOf,
    signal: AbortSignal,
  ): Promise<Backup>;
  /** Oldest first. */
  list(signal: AbortSignal): Promise<readonly Backup[]>;
  remove(backup: Backup, signal: AbortSignal): Promise<void>;
  /** Removes what the archive's policy keeps no longer, of workloads too that are backed up no more; says what it was. */
  expire(signal: AbortSignal): Promise<readonly Backup[]>;
  /** Writes a backup below a folder; what is there already is not overwritten. */
  restoreTo(backup: Backup, folder: string, options: { readonly owners: boolean }, signal: AbortSignal): Promise<void>;
  /** Writes a backup to our stdout: a stream as it was, files as a tar. */
  restoreToStdout(backup: Backup, signal: AbortSignal): Promise<void>;
  /** A backup's bytes: a stream as it was, files as a tar. It throws, rather than ends, where it is not whole. */
  read(backup: Backup, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Reads backups back: all of their structure, and so many percent of the files. */
  verify(backups: readonly Backup[], options: { readonly percent: number }, signal: AbortSignal): Promise<Verified>;
  /** Frees what no backup needs any more, where that is this host's duty. */
  maintain(signal: AbortSignal): Promise<Maintained>;
  /** Removes what was written on this machine to reach the archive, secrets among it. */
  close(): Promise<void>;
};

/**
 * One way to read what is backed up: from snapshots of the storage below, or as the server exports it. What it makes on a
 * host bears a mark of ours, so that a later run knows it again.
 */
export type Reader = {
  /**
   * Removes what the owner's runs that died have left, found by its mark and never by a name alone; says what it was.
   * Only one run of an owner is at work at a time: whatever bears its mark is nobody's any more.
   */
  sweep(owner: ReadingRun["owner"], signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Holds all of them as they are at one moment, or as near to one as the storage can. A subject that cannot be held
   * throws when it is opened, and does the others no harm; `hold` itself throws where nothing can be read at all, and
   * leaves nothing behind then.
   */
  hold(subjects: readonly Subject[], run: ReadingRun, signal: AbortSignal): Promise<Reading>;
};

/** Subjects that are held as they were at one moment. */
export type Reading = {
  open(subject: Subject, signal: AbortSignal): Promise<OpenSubject>;
  /** Gives up all that is held. Called once, whatever happened; it has a deadline of its own and no signal ends it. */
  release(): Promise<void>;
};

/** Tells a service outside how a run goes. A service that cannot be told never fails the run. */
export type Notifier = {
  started(signal: AbortSignal): Promise<void>;
  /** `report` is what a person should read of it. */
  ended(exitCode: number, report: string, signal: AbortSignal): Promise<void>;
};
