import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** Which way bytes go through the proxy; a limit on `both` counts them together. */
type Direction = "to-server" | "to-client" | "both";

/** A loopback proxy before a server, which counts and can break what goes through it. */
export type TcpProxy = {
  readonly host: string;
  readonly port: number;
  /** How many connections were ever accepted, and how many are open now. */
  readonly accepted: () => number;
  readonly open: () => number;
  readonly bytes: (direction: Direction) => number;
  /** Breaks every connection with a reset when so many more bytes have passed; with 0, now. */
  readonly cutAfter: (bytes: number, direction?: Direction) => void;
  /** Lets nothing more through when so many more bytes have passed, and keeps the connections open; with 0, now. */
  readonly stallAfter: (bytes: number, direction?: Direction) => void;
  /** From now on new connections are reset at once; those that exist go on. */
  readonly refuse: () => void;
  /** Ends what `cutAfter()`, `stallAfter()` and `refuse()` began; stalled bytes go on. */
  readonly heal: () => void;
  /** Resolves when a cut or a stall has taken place. */
  readonly struck: () => Promise<void>;
  close(): Promise<void>;
};

type Fault = { kind: "cut" | "stall"; direction: Direction; left: number; struck: boolean };
type Pair = { client: Socket; server: Socket };

/** Opens a proxy on a free port of 127.0.0.1 before a server. */
export async function openTcpProxy(to: { host: string; port: number }): Promise<TcpProxy> {
  const line = new Line(to);
  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => line.accept(client));
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { address, port } = listener.address() as AddressInfo;
  return {
    host: address,
    port,
    accepted: () => line.accepted,
    open: () => line.pairs.size,
    bytes: (direction) => line.count(direction),
    cutAfter: (bytes, direction = "both") => line.arm("cut", bytes, direction),
    stallAfter: (bytes, direction = "both") => line.arm("stall", bytes, direction),
    refuse: () => line.refuse(),
    heal: () => line.heal(),
    struck: () => line.whenStruck(),
    close: async () => {
      line.cut();
      listener.close();
      await once(listener, "close");
    },
  };
}

/** All that goes through one proxy. */
class Line {
  accepted = 0;
  readonly pairs = new Set<Pair>();
  readonly #to: { host: string; port: number };
  readonly #passed = { "to-server": 0, "to-client": 0 };
  #fault: Fault | undefined;
  #refusing = false;
  /** Bytes that arrived during a stall, with the way on. */
  #held: (() => void)[] = [];
  #waiting: (() => void)[] = [];

  constructor(to: { host: string; port: number }) {
    this.#to = to;
  }

  count(direction: Direction): number {
    if (direction === "both") return this.#passed["to-server"] + this.#passed["to-client"];
    return this.#passed[direction];
  }

  accept(client: Socket): void {
    this.accepted += 1;
    client.on("error", () => client.destroy());
    if (this.#refusing) {
      client.resetAndDestroy();
      return;
    }
    const server = connect({ ...this.#to, allowHalfOpen: true });
    const pair = { client, server };
    this.pairs.add(pair);
    for (const end of [client, server]) {
      end.setNoDelay(true);
      end.on("error", () => this.#drop(pair));
      end.on("close", () => this.#drop(pair));
    }
    this.#forward(client, server, "to-server");
    this.#forward(server, client, "to-client");
  }

  arm(kind: Fault["kind"], bytes: number, direction: Direction): void {
    this.#fault = { kind, direction, left: bytes, struck: false };
    if (bytes <= 0) this.#strike(this.#fault);
  }

  refuse(): void {
    this.#refusing = true;
  }

  heal(): void {
    this.#fault = undefined;
    this.#refusing = false;
    const held = this.#held;
    this.#held = [];
    for (const goOn of held) goOn();
  }

  whenStruck(): Promise<void> {
    if (this.#fault?.struck) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  cut(): void {
    for (const pair of this.pairs) {
      pair.client.resetAndDestroy();
      pair.server.resetAndDestroy();
    }
    this.pairs.clear();
    this.#held = [];
  }

  #forward(from: Socket, to: Socket, direction: "to-server" | "to-client"): void {
    from.on("data", (bytes) => this.#pass(bytes, from, to, direction));
    from.on("end", () => this.#unlessStalled(direction, () => to.end()));
    from.resume();
  }

  /** Sends what may pass before the fault strikes, then lets it strike. */
  #pass(bytes: Buffer, from: Socket, to: Socket, direction: "to-server" | "to-client"): void {
    const fault = this.#faultOf(direction);
    const allowed = fault === undefined ? bytes.length : Math.min(bytes.length, fault.left);
    this.#send(bytes.subarray(0, allowed), from, to, direction);
    if (fault === undefined) return;
    fault.left -= allowed;
    if (fault.left > 0) return;
    const rest = bytes.subarray(allowed);
    if (fault.kind === "stall" && rest.length > 0) {
      from.pause();
      this.#held.push(() => {
        this.#pass(rest, from, to, direction);
        from.resume();
      });
    }
    this.#strike(fault);
  }

  #send(bytes: Buffer, from: Socket, to: Socket, direction: "to-server" | "to-client"): void {
    if (bytes.length === 0 || to.destroyed) return;
    this.#passed[direction] += bytes.length;
    if (to.write(bytes)) return;
    from.pause();
    to.once("drain", () => from.resume());
  }

  #unlessStalled(direction: "to-server" | "to-client", action: () => void): void {
    const fault = this.#faultOf(direction);
    if (fault?.kind === "stall" && fault.struck) this.#held.push(action);
    else action();
  }

  #faultOf(direction: "to-server" | "to-client"): Fault | undefined {
    const fault = this.#fault;
    return fault?.direction === "both" || fault?.direction === direction ? fault : undefined;
  }

  #strike(fault: Fault): void {
    if (fault.kind === "cut") this.cut();
    if (fault.struck) return;
    fault.struck = true;
    for (const tell of this.#waiting.splice(0)) tell();
  }

  #drop(pair: Pair): void {
    this.pairs.delete(pair);
    pair.client.destroy();
    pair.server.destroy();
  }
}
