import { z } from "zod";
import { call } from "./daemon-api.ts";
import type { Daemon } from "./lab.ts";

const Operations = z.record(z.string(), z.array(z.object({ description: z.string() })));

/** What a daemon is doing now, by the descriptions of its operations; tokens that wait are none of it. */
async function workOn(daemon: Daemon): Promise<string[]> {
  const listed = Operations.parse(await call(daemon, "GET", "/1.0/operations?recursion=1&all-projects=true"));
  const descriptions = ["pending", "running"].flatMap((state) => listed[state] ?? []).map((each) => each.description);
  return descriptions.filter((description) => !/token/i.test(description));
}

/** Returns when no operation of that description goes on any more. */
export async function untilIdle(daemon: Daemon, kind: RegExp): Promise<void> {
  while ((await workOn(daemon)).some((each) => kind.test(each)));
}

/** Returns when an operation of that description goes on. */
export async function untilAtWork(daemon: Daemon, kind: RegExp): Promise<void> {
  while (!(await workOn(daemon)).some((each) => kind.test(each)));
}
