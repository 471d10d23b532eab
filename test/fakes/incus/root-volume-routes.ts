import { z } from "zod";
import type { Context, Route } from "./host.ts";
import { instanceOf, requireMatch } from "./instance-routes.ts";
import { Refusal, type Reply, sync } from "./reply.ts";
import { poolOf } from "./server-routes.ts";
import type { InstanceRecord } from "./state.ts";

const TYPES = ["container", "virtual-machine"] as const;

/** The volumes of instances' root disks: read and replaced, but not patched. */
export const rootVolumeRoutes: readonly Route[] = TYPES.flatMap((type): Route[] => {
  const path = `/1.0/storage-pools/:pool/volumes/${type}/:name`;
  return [
    { method: "GET", path, handle: (context) => getRoot(context, type) },
    { method: "GET", path: `${path}/snapshots`, handle: (context) => listRootSnapshots(context, type) },
    { method: "PUT", path, handle: (context) => putRoot(context, type) },
    {
      method: "PATCH",
      path,
      handle: () => {
        throw new Refusal(400, `Invalid storage volume type "${type}"`);
      },
    },
  ];
});

function getRoot(context: Context, type: InstanceRecord["type"]): Reply {
  const { name, project, rootConfig: config } = ownerOf(context, type);
  return sync({ name, project, type, content_type: "filesystem", description: "", config }, [name, config]);
}

/** By the names that the volume goes by; halves are among them. */
function listRootSnapshots(context: Context, type: InstanceRecord["type"]): Reply {
  const { name, snapshots, halves } = ownerOf(context, type);
  const names = new Set([...snapshots.map((snapshot) => snapshot.name), ...halves]);
  return sync([...names].map((snapshot) => ({ name: `${name}/${snapshot}`, config: {}, description: "" })));
}

const Edit = z.object({ config: z.record(z.string(), z.string()).nullish() });

function putRoot(context: Context, type: InstanceRecord["type"]): Reply {
  const owner = ownerOf(context, type);
  requireMatch(context, [owner.name, owner.rootConfig]);
  owner.rootConfig = { ...context.json(Edit).config };
  return sync({});
}

function ownerOf(context: Context, type: InstanceRecord["type"]): InstanceRecord {
  const pool = poolOf(context);
  const instance = instanceOf(context);
  if (instance.type !== type || instance.pool !== pool.name) throw new Refusal(404, "Storage pool volume not found");
  return instance;
}
