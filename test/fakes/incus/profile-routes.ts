import { z } from "zod";
import type { Context, Route } from "./host.ts";
import { param } from "./host.ts";
import { addProfile } from "./options.ts";
import { Refusal, type Reply, sync } from "./reply.ts";
import { isRecursive } from "./server-routes.ts";
import { projectWith, type State } from "./state.ts";
import { isListed, requireProject } from "./trust.ts";

export const profileRoutes: readonly Route[] = [
  { method: "GET", path: "/1.0/profiles", handle: listProfiles },
  { method: "POST", path: "/1.0/profiles", handle: createProfile },
  { method: "GET", path: "/1.0/profiles/:profile", handle: getProfile },
];

function listProfiles(context: Context): Reply {
  const { state } = context.host;
  const all = context.query.get("all-projects") === "true";
  const project = projectWith(state, "features.profiles", context.project);
  if (!all) requireProject(context.caller, state, context.project);
  const seen = state.profiles.filter((profile) =>
    all ? isListed(context.caller, profile.project) : profile.project === project,
  );
  if (!isRecursive(context)) return sync(seen.map((profile) => `/1.0/profiles/${profile.name}`));
  return sync(seen.map((profile) => ({ ...profile, used_by: [] })));
}

function getProfile(context: Context): Reply {
  const { state } = context.host;
  requireProject(context.caller, state, context.project);
  const project = projectWith(state, "features.profiles", context.project);
  const name = param(context, "profile");
  const found = state.profiles.find((profile) => profile.project === project && profile.name === name);
  if (found === undefined) throw new Refusal(404, "Profile not found");
  return sync({ ...found, used_by: [] });
}

const NewProfile = z.object({
  name: z.string().min(1),
  description: z.string().default(""),
  config: z.record(z.string(), z.string()).default({}),
  devices: z.record(z.string(), z.record(z.string(), z.string())).default({}),
});

function createProfile(context: Context): Reply {
  const { caller, host } = context;
  const project = projectWith(host.state, "features.profiles", context.project);
  // 6.0 asks for the rights to the project that is named, also where the profile goes to another one.
  requireProject(caller, host.state, host.generation.guardsLentProfiles ? project : context.project);
  const { name, ...profile } = context.json(NewProfile);
  if (host.state.profiles.some((each) => each.project === project && each.name === name))
    throw new Refusal(500, `Error inserting "${name}" into database: The profile already exists`);
  addProfile(host.state, name, profile, project);
  return { kind: "sync", metadata: null, status: 201, location: `/1.0/profiles/${name}` };
}

/** No snapshot is written down that names a profile which is not there. */
export function requireProfiles(state: State, project: string, names: readonly string[]): void {
  const owner = projectWith(state, "features.profiles", project);
  const isThere = (name: string) => state.profiles.some((each) => each.project === owner && each.name === name);
  if (!names.every(isThere)) throw new Refusal(404, "Profile not found");
}
