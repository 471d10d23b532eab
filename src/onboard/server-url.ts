import { AgentError } from "../model/errors.ts";

const INCUS_PORT = "8443";

/** An Incus server's base address from what a person types: `host`, `host:port` or the whole URL. */
export function serverUrl(text: string, who: string): string {
  const typed = text.trim();
  if (/^http:/i.test(typed)) {
    throw bad(who, typed, "it begins with http://", "An Incus server speaks https only: write https:// instead");
  }
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(typed) ? typed : `https://${typed}`;
  if (!URL.canParse(whole))
    throw bad(who, typed, "it is not an address", `It looks like https://192.0.2.10:${INCUS_PORT}`);
  const url = new URL(whole);
  if (url.protocol !== "https:") throw bad(who, typed, `it begins with ${url.protocol}//`, "Write https:// instead");
  if (url.username !== "" || url.password !== "")
    throw bad(who, url.host, "it holds a name or a password", "Leave them out");
  // The URL parser drops 443, the default of https; only what was typed tells whether it was meant.
  const port = url.port || (/:443(\/|$)/.test(typed) ? "443" : INCUS_PORT);
  return `https://${url.hostname}:${port}`;
}

function bad(who: string, typed: string, why: string, hint: string): AgentError {
  return new AgentError("usage", `Cannot use "${typed}" as the address of the ${who} server: ${why}`, { hint });
}
