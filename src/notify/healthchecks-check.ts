import { HealthChecksApiClient } from "healthchecks-io-client";
import { z } from "zod";
import { AgentError } from "../model/errors.ts";
import type { Secret } from "../model/secret.ts";

/** A check as it should be at the Healthchecks service. */
export type Check = {
  readonly name: string;
  /** How long after a ping the next one is expected, and how long it may be late. */
  readonly everyMs: number;
  readonly graceMs: number;
};

const Answer = z.object({ ping_url: z.url() });

/** Creates the check, or updates the one of that name, and returns the address to ping. */
export async function ensureCheck(check: Check, apiKey: Secret, apiUrl: string): Promise<string> {
  const wanted = {
    name: check.name,
    tags: "incus backup",
    desc: "Incus replication by incus-autobackup",
    timeout: Math.round(check.everyMs / 1000),
    grace: Math.round(check.graceMs / 1000),
    unique: ["name"],
  };
  const answer = await call(apiUrl, () =>
    new HealthChecksApiClient({ apiKey: apiKey.reveal(), baseUrl: apiUrl, timeout: 10_000 }).createCheck(wanted),
  );
  const read = Answer.safeParse(answer);
  if (read.success) return read.data.ping_url;
  throw new AgentError("notify.refused", `Cannot use the answer of ${apiUrl}: it holds no address to ping`, {
    hint: "A read-only API key gets none: use one with read and write access",
  });
}

async function call(apiUrl: string, create: () => Promise<unknown>): Promise<unknown> {
  try {
    return await create();
  } catch (error) {
    // Only the status is quoted: the client's errors carry the request with its key.
    const status = statusOf(error);
    throw new AgentError(
      "notify.refused",
      status === undefined
        ? `Cannot reach the Healthchecks service at ${apiUrl}`
        : `Cannot create the check: the Healthchecks service at ${apiUrl} answered ${status}`,
      { hint: status === 401 ? "The API key is not valid for this service" : "Check the address and the service" },
    );
  }
}

function statusOf(error: unknown): number | undefined {
  const found = z.object({ statusCode: z.number() }).safeParse(error);
  return found.success ? found.data.statusCode : undefined;
}
