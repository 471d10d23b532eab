import { backupRoutes } from "./backup-routes.ts";
import { certificateRoutes } from "./certificate-routes.ts";
import type { Route } from "./host.ts";
import { instanceRoutes } from "./instance-routes.ts";
import { operationRoutes } from "./operation-routes.ts";
import { profileRoutes } from "./profile-routes.ts";
import { rootVolumeRoutes } from "./root-volume-routes.ts";
import { serverRoutes } from "./server-routes.ts";
import { instanceSnapshotRoutes } from "./snapshot-routes.ts";
import { volumeRoutes } from "./volume-routes.ts";
import { volumeSnapshotRoutes } from "./volume-snapshot-routes.ts";

/** Everything that the fake answers to; all else is a 404. */
export const ROUTES: readonly Route[] = [
  ...serverRoutes,
  ...profileRoutes,
  ...certificateRoutes,
  ...operationRoutes,
  ...backupRoutes,
  ...instanceSnapshotRoutes,
  ...instanceRoutes,
  ...rootVolumeRoutes,
  ...volumeSnapshotRoutes,
  ...volumeRoutes,
];
