import { z } from "zod";
import { AgentError, IncusRefusal } from "../model/errors.ts";
import type { EmptyProfile } from "../model/state.ts";
import { readMetadata } from "./answer.ts";
import type { Via } from "./carry-out.ts";

/** Makes a profile that brings nothing. A server refuses a name that is taken, and leaves what bears it alone. */
export async function createProfile(
  { connection }: Pick<Via, "connection">,
  { project, name, description, config }: EmptyProfile,
  signal: AbortSignal,
): Promise<void> {
  const body = { name, description, config, devices: {} };
  const request = { method: "POST", path: "/1.0/profiles", query: { project }, body } as const;
  try {
    await connection.request(request, signal);
  } catch (cause) {
    signal.throwIfAborted();
    // Another run may have made it, or this one, and the answer was lost.
    if (await isThere({ connection }, { project, name }, signal)) return;
    if (!(cause instanceof IncusRefusal)) throw cause;
    throw new AgentError("incus.refused", `Cannot make the profile ${name}: ${cause.message}`, {
      cause,
      hint: `On ${connection.host}: incus profile create ${name} --project ${project}. It may stay empty`,
    });
  }
}

async function isThere(
  { connection }: Pick<Via, "connection">,
  { project, name }: Pick<EmptyProfile, "project" | "name">,
  signal: AbortSignal,
): Promise<boolean> {
  const path = `/1.0/profiles/${encodeURIComponent(name)}`;
  try {
    const answer = await connection.request({ method: "GET", path, query: { project } }, signal);
    return (
      readMetadata({ host: connection.host, method: "GET", path }, answer, z.object({ name: z.string() })).name === name
    );
  } catch (error) {
    if (error instanceof IncusRefusal) return false;
    throw error;
  }
}
