/** A time of day as minutes since midnight, on the clock of the machine the agent runs on. */
export type MinuteOfDay = number;

/** From the first minute up to, but not including, the last; over midnight where the last is the smaller one. */
export type RateWindow = {
  readonly from: MinuteOfDay;
  readonly to: MinuteOfDay;
  readonly bytesPerSecond: number | undefined;
};

/** How fast a relay may go, by the time of day; undefined is as fast as it can. */
export type BandwidthLimit = {
  readonly windows: readonly RateWindow[];
  readonly otherwise: number | undefined;
};

/** The limit that holds at a time of day. */
export function bytesPerSecondAt(limit: BandwidthLimit, minute: MinuteOfDay): number | undefined {
  const window = limit.windows.find(({ from, to }) =>
    from < to ? from <= minute && minute < to : from <= minute || minute < to,
  );
  return window === undefined ? limit.otherwise : window.bytesPerSecond;
}
