import type { Config } from "../config/config.ts";
import { attempt, type Finding, failure, ok } from "../doctor/attempt.ts";
import { checkPrivate, judgeValidity } from "../doctor/check-credentials.ts";
import type { Check } from "../model/check.ts";
import { SIDES, type Side } from "../model/job.ts";
import type { World } from "../model/ports.ts";
import type { ClientIdentity } from "../model/trust-ports.ts";
import { certificateSpan } from "../onboard/certificate-span.ts";
import { keyPath, readIdentity, readPin } from "../onboard/credentials.ts";

export type Credentials = {
  readonly checks: readonly Check[];
  /** The sides that can be spoken to with what there is. */
  readonly ready: ReadonlySet<Side>;
};

const ONBOARD = "iab onboard";
const RENEW = "Move the old certificate and key away, and run iab onboard with fresh tokens";

/** Looks at who we are and at what the servers have to show: there, closed to others, and valid. */
export async function checkCredentials(folder: string, config: Config, world: World): Promise<Credentials> {
  const { files, signal } = world;
  let identity: ClientIdentity | undefined;
  const look = async (): Promise<Finding> => {
    identity = await readIdentity(folder, files, signal);
    if (identity !== undefined) return ok("The agent's certificate and key are there");
    return failure("There is no certificate and key of the agent", ONBOARD);
  };
  const own = await attempt({ check: "credentials.identity", subject: folder }, look, signal);
  const more =
    identity === undefined
      ? []
      : [await checkPrivate(keyPath(folder), files, signal), await ownValidity(identity, world)];
  const pins = await Promise.all(SIDES.map((side) => checkPin(side, folder, config, world)));
  return {
    checks: [own, ...more, ...pins],
    ready: new Set(identity === undefined ? [] : SIDES.filter((_, at) => pins[at]?.state === "ok")),
  };
}

function ownValidity({ certificate }: ClientIdentity, { clock, signal }: World): Promise<Check> {
  const subject = "the agent";
  const look = async () => judgeValidity(certificateSpan(certificate, subject), clock.now(), RENEW);
  return attempt({ check: "credentials.validity", subject }, look, signal);
}

function checkPin(side: Side, folder: string, { hosts }: Config, { files, signal }: World): Promise<Check> {
  const { name, url } = hosts[side];
  const look = async (): Promise<Finding> => {
    const pin = await readPin(folder, url, files, signal);
    if (pin !== undefined) return ok(`The certificate of ${url} is pinned`);
    return failure(`No certificate of ${url} is pinned`, `${ONBOARD} for this server, or correct its url`);
  };
  return attempt({ check: "credentials.pin", subject: name }, look, signal);
}
