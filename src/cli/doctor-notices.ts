import type { Config } from "../config/config.ts";
import { attempt, type Finding, failure, ok } from "../doctor/attempt.ts";
import type { Check } from "../model/check.ts";
import type { World } from "../model/ports.ts";
import type { SecretRef } from "../model/secret.ts";
import { reveal } from "./reveal.ts";

/** Looks whether the services that are to be told have an address that can be used. Nobody is told anything. */
export function checkNotices({ healthchecksUrl, gotifyUrl, offsite }: Config, world: World): Promise<readonly Check[]> {
  const all = [
    ["iab.healthchecksUrl", healthchecksUrl],
    ["iab.gotifyUrl", gotifyUrl],
    ["offsite.healthchecks_url", offsite?.healthchecksUrl],
  ] as const;
  return Promise.all(all.flatMap(([subject, ref]) => (ref === undefined ? [] : [checkAddress(subject, ref, world)])));
}

/** An address is a secret: what is wrong with it is said, and what it is not. */
function checkAddress(subject: string, ref: SecretRef, world: World): Promise<Check> {
  const look = async (): Promise<Finding> => {
    const address = (await reveal(ref, world)).reveal();
    const url = URL.canParse(address) ? new URL(address) : undefined;
    if (url === undefined) return failure("It is no address", "It begins with https://");
    if (url.protocol !== "https:" && url.protocol !== "http:") {
      return failure("It is no address of the web", "It begins with https://");
    }
    if (subject !== "iab.gotifyUrl" && /\/(start|fail|log)\/?$/.test(url.pathname)) {
      return failure("It ends in a signal of its own", "Leave out /start, /fail and /log");
    }
    return ok("It has the form of an address; nothing was sent there");
  };
  return attempt({ check: "notices.address", subject }, look, world.signal);
}
