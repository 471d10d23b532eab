import { createServer, type Server } from "node:https";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { type InstanceUnit, type Unit, unitId, type VolumeUnit } from "../../../src/model/unit.ts";
import { answer } from "./answer.ts";
import { type Certificate, makeCertificate } from "./certificate.ts";
import { issueToken, type TokenOptions } from "./certificate-routes.ts";
import { Events } from "./events.ts";
import { Faults } from "./faults.ts";
import { GENERATIONS } from "./generation.ts";
import type { Host } from "./host.ts";
import { nanoClock, parseNanos, rfc3339Nanos, ZERO_DATE } from "./nanos.ts";
import { Operations } from "./operations.ts";
import {
  addNetwork,
  addPool,
  addProfile,
  addTrust,
  type FakeIncusOptions,
  furnish,
  type ProfileSeed,
  type TrustOptions,
} from "./options.ts";
import { digestOf, plainState } from "./plain-state.ts";
import { ROUTES } from "./routes.ts";
import { addInstance, addVolume, bytesOf, type InstanceSeed, type VolumeSeed } from "./seed.ts";
import { dropSnapshot, takeSnapshot } from "./snapshot-store.ts";
import { type Driver, emptyState, type Keys, type UnitRecord } from "./state.ts";
import { callerOf } from "./trust.ts";
import { upgrade } from "./upgrade.ts";

/** What a request was, for tests that ask whether anything was changed. */
export type SeenRequest = { readonly method: string; readonly path: string };

/** A small Incus server, on real sockets. See README.md for where it differs from a real one. */
export class FakeIncus {
  readonly faults = new Faults();
  /** All requests and upgrades so far, in order. */
  readonly requests: SeenRequest[] = [];
  /** TLS handshakes so far. */
  handshakes = 0;
  readonly #host: Host;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #defaultPool: string;
  #certificate: Certificate;

  constructor(options: FakeIncusOptions) {
    const now = nanoClock(options.now ?? Date.now);
    const timings = { forgetAfterMs: 5_000, connectWithinMs: 30_000, ...options.timings };
    const known = GENERATIONS[options.generation ?? "7.0"];
    const generation = { ...known, version: options.version ?? known.version };
    const events = new Events(this.faults, now);
    const onChange = events.operation.bind(events);
    this.#certificate = options.certificate ?? makeCertificate();
    this.#host = {
      name: options.name ?? "fake",
      members: options.members ?? [],
      generation,
      state: emptyState(),
      operations: new Operations({ generation, now, forgetAfterMs: timings.forgetAfterMs, onChange }),
      events,
      faults: this.faults,
      timings,
      now,
      certificate: () => this.#certificate,
      address: () => this.address,
    };
    this.#defaultPool = furnish(this.#host.state, options);
    this.#server = this.#listener();
  }

  /** `https://127.0.0.1:port` */
  get url(): string {
    return `https://${this.address}`;
  }

  /** `127.0.0.1:port` */
  get address(): string {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? `127.0.0.1:${address.port}` : "127.0.0.1:0";
  }

  /** The server's certificate as PEM. */
  get certificate(): string {
    return this.#certificate.certificate;
  }

  get fingerprint(): string {
    return this.#certificate.fingerprint;
  }

  /** Listens on a free port of loopback. */
  listen(): Promise<void> {
    return new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  /** Ends everything, at once. */
  async close(): Promise<void> {
    this.#host.operations.forgetAll();
    this.cutConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** A trust token, as `incus config trust add` prints it. */
  addToken(options: TokenOptions = {}): string {
    return issueToken(this.#host, options).token;
  }

  /** Trusts a client's certificate without a token. */
  trust(certificate: string, options: TrustOptions = {}): void {
    addTrust(this.#host.state, certificate, options);
  }

  addPool(name: string, driver: Driver): void {
    addPool(this.#host.state, name, driver);
  }

  addNetwork(name: string, project = "default"): void {
    addNetwork(this.#host.state, name, project);
  }

  /** Adds a profile, or replaces the one of that name. */
  addProfile(name: string, profile: ProfileSeed = {}, project = "default"): void {
    addProfile(this.#host.state, name, profile, project);
  }

  addInstance(seed: InstanceSeed): InstanceUnit {
    const { project, name } = addInstance(this.#host, seed, this.#defaultPool);
    return { kind: "instance", project, name };
  }

  addVolume(seed: VolumeSeed): VolumeUnit {
    const { project, name, pool } = addVolume(this.#host, seed, this.#defaultPool);
    return { kind: "volume", project, pool, name };
  }

  /** Changes the live head of a unit, as its users do. */
  setContent(unit: Unit, content: string | Uint8Array): void {
    this.#unit(unit).content = bytesOf(content);
  }

  /** Takes a snapshot, as a person does at the server itself. */
  takeSnapshot(unit: Unit, name: string): void {
    const record = this.#unit(unit);
    const driver = this.#host.state.pools.get(record.pool)?.driver;
    takeSnapshot(record, { name, createdAt: this.#host.now(), expiresAt: ZERO_DATE, driver });
  }

  /** Deletes a snapshot, as a person does at the server itself. */
  deleteSnapshot(unit: Unit, name: string): void {
    dropSnapshot(this.#unit(unit), name);
  }

  /** Whether the unit is there. */
  has(unit: Unit): boolean {
    return this.#host.state.units.has(unitId(unit));
  }

  /** The SHA-256 of what a snapshot holds on the disk, or the live head; undefined where the disk has no such thing. */
  digest(unit: Unit, snapshot?: string): string | undefined {
    const { content, datasets } = this.#unit(unit);
    const bytes = snapshot === undefined ? content : datasets.find((dataset) => dataset.name === snapshot)?.content;
    return bytes === undefined ? undefined : digestOf(bytes);
  }

  /** The names that the database lists, oldest first. */
  snapshots(unit: Unit): string[] {
    return this.#unit(unit).snapshots.map((snapshot) => snapshot.name);
  }

  /** Their dates, as the API gives them. */
  dates(unit: Unit): string[] {
    return this.#unit(unit).snapshots.map((snapshot) => rfc3339Nanos(snapshot.createdAt));
  }

  /** The names of what really lies on the disk: more than is listed if hidden, less if there are ghosts. */
  datasets(unit: Unit): string[] {
    return this.#unit(unit).datasets.map((dataset) => dataset.name);
  }

  /** The GUIDs of what lies on the disk, by snapshot. */
  guids(unit: Unit): Record<string, string> {
    return Object.fromEntries(this.#unit(unit).datasets.map(({ name, guid }) => [name, guid]));
  }

  /** A unit's own configuration. */
  config(unit: Unit): Keys {
    return this.#unit(unit).config;
  }

  /** Whether an instance runs; undefined for volumes. */
  status(unit: InstanceUnit): string | undefined {
    const record = this.#unit(unit);
    return record.kind === "instance" ? record.status : undefined;
  }

  /** Everything that is stored, as plain data: the same before and after means that nothing was changed. */
  state(): unknown {
    return plainState(this.#host.state);
  }

  /** The server's own deletion of what has expired, which a real one does each minute. */
  expireSnapshots(): void {
    const now = this.#host.now();
    for (const unit of this.#host.state.units.values()) {
      for (const { name, expiresAt } of unit.snapshots) {
        const at = parseNanos(expiresAt);
        if (expiresAt !== ZERO_DATE && at !== undefined && at <= now) dropSnapshot(unit, name);
      }
    }
  }

  /** The server has another certificate from the next handshake on. */
  swapCertificate(certificate = makeCertificate()): void {
    this.#certificate = certificate;
    this.#server.setSecureContext({ key: certificate.key, cert: certificate.certificate });
  }

  /** Cuts the events sockets. */
  cutEvents(): void {
    this.#host.events.cut();
  }

  /** Cuts every connection; the server goes on. */
  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #unit(unit: Unit): UnitRecord {
    const found = this.#host.state.units.get(unitId(unit));
    if (found === undefined) throw new Error(`The fake has no ${unitId(unit)}`);
    return found;
  }

  #listener(): Server {
    const { key, certificate } = this.#certificate;
    // Whoever comes is let in, and judged by the certificate that came along: that is what Incus does.
    const trusting = { requestCert: true, rejectUnauthorized: false, minVersion: "TLSv1.3" as const };
    const server = createServer({ key, cert: certificate, ...trusting }, (request, response) => {
      this.requests.push({ method: request.method ?? "", path: request.url ?? "" });
      void answer(this.#host, ROUTES, this.#caller(request.socket), { request, response });
    });
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    server.on("secureConnection", (socket: TLSSocket) => {
      this.handshakes += 1;
      socket.on("error", () => socket.destroy());
    });
    server.on("upgrade", (request, socket, head) => {
      this.requests.push({ method: "UPGRADE", path: request.url ?? "" });
      upgrade(this.#host, this.#caller(request.socket), request, socket, head);
    });
    return server;
  }

  #caller(socket: Socket) {
    const der = socket instanceof TLSSocket ? socket.getPeerCertificate(true).raw : undefined;
    return callerOf(this.#host.state, der);
  }
}

/** Starts a fake Incus on a free port of loopback; `close()` ends it. */
export async function startFakeIncus(options: FakeIncusOptions = {}): Promise<FakeIncus> {
  const fake = new FakeIncus(options);
  await fake.listen();
  return fake;
}
