/** Nanoseconds since the Unix epoch, as Incus keeps its dates. */
export type Nanos = bigint;

/** How Incus writes "never". */
export const ZERO_DATE = "0001-01-01T00:00:00Z";

const BILLION = 1_000_000_000n;

/** A date as Go writes it: up to nine decimals, trailing zeros left out. */
export function rfc3339Nanos(at: Nanos): string {
  const seconds = floorSeconds(at);
  const fraction = (at - seconds * BILLION).toString().padStart(9, "0").replace(/0+$/, "");
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${whole}${fraction === "" ? "" : `.${fraction}`}Z`;
}

/** Reads a date with up to nine decimals; undefined where it is none. */
export function parseNanos(text: string): Nanos | undefined {
  const parts = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  const seconds = Date.parse(`${parts?.[1]}${parts?.[3]}`);
  if (parts === null || Number.isNaN(seconds)) return undefined;
  return BigInt(seconds) * 1_000_000n + BigInt((parts[2] ?? "").padEnd(9, "0"));
}

/** The whole seconds of a moment. */
export function floorSeconds(at: Nanos): bigint {
  return (at - (((at % BILLION) + BILLION) % BILLION)) / BILLION;
}

/** A clock that never tells the same moment twice, on top of one that counts milliseconds. */
export function nanoClock(now: () => number): () => Nanos {
  let last = 0n;
  return () => {
    const at = BigInt(Math.floor(now())) * 1_000_000n + 1_234n;
    last = at > last ? at : last + 1_000n;
    return last;
  };
}
