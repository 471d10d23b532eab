import { z } from "zod";
import type { BandwidthLimit } from "../model/bandwidth.ts";
import type { Policy } from "../model/policy.ts";
import { Secret, type SecretRef } from "../model/secret.ts";
import { policyProblemText, readPolicy } from "../retention/parse-policy.ts";
import { type Reading, readBandwidthByHour, readDuration, readRate, readSize } from "./amounts.ts";

/** A text that says something. */
export const Text = z.string().refine((text) => text.trim() !== "", "cannot be empty");

/** A policy; empty for the one of the level above. */
export const PolicyText = z.string().transform((text, context): Policy | undefined => {
  if (text === "") return undefined;
  const read = readPolicy(text);
  if ("policy" in read) return read.policy;
  context.issues.push({ code: "custom", message: policyProblemText(read.problem), input: "" });
  return z.NEVER;
});

const SECRET_KINDS = 'expected a text, {"file": …}, {"env": …} or {"credential": …}';

/** A secret, or where it is: never shown, so no message may quote what is given. */
const SecretField = z
  .union(
    [
      z.string(),
      z.strictObject({ file: Text }),
      z.strictObject({ env: Text }),
      z.strictObject({ credential: z.string().regex(/^[^/]+$/, "expected a name without slashes") }),
    ],
    { error: ({ input }) => (input === undefined ? "is missing" : SECRET_KINDS) },
  )
  .transform(secretRef);

function secretRef(given: string | { file: string } | { env: string } | { credential: string }): SecretRef {
  if (typeof given === "string") return { kind: "value", secret: new Secret(given) };
  if ("file" in given) return { kind: "file", path: given.file };
  if ("env" in given) return { kind: "env", name: given.env };
  return { kind: "credential", name: given.credential };
}

/** A secret that cannot be empty. */
export const Required = SecretField.refine(
  (ref) => ref.kind !== "value" || ref.secret.reveal() !== "",
  "cannot be empty",
);

/** The address of a notification service, which is a secret: who knows it can speak in our name. Empty for none. */
export const ServiceUrl = SecretField.refine(
  (ref) => ref.kind !== "value" || isHttpUrl(ref.secret.reveal()),
  "expected an address that begins with https:// or http://",
).transform((ref) => (ref.kind === "value" && ref.secret.reveal().trim() === "" ? undefined : ref));

function isHttpUrl(text: string): boolean {
  const url = text.trim();
  return url === "" || (URL.canParse(url) && ["http:", "https:"].includes(new URL(url).protocol));
}

/** The base address of an Incus server. */
export const ServerUrl = z.string().transform((text, context): string => {
  const problem = serverUrlProblem(text.trim());
  if (problem === undefined) return new URL(text.trim()).origin;
  context.issues.push({ code: "custom", message: problem, input: "" });
  return z.NEVER;
});

function serverUrlProblem(text: string): string | undefined {
  if (text === "") return "cannot be empty";
  if (!URL.canParse(text)) return "expected an address such as https://192.0.2.10:8443";
  const { protocol, username, password, pathname, search, hash } = new URL(text);
  if (protocol === "http:") return "begins with http://, but an Incus server is reached by https:// only";
  if (protocol !== "https:") return "expected an address that begins with https://";
  if (username !== "" || password !== "") return "holds a user name or a password, which Incus has no use for";
  return pathname === "/" && search === "" && hash === "" ? undefined : "expected nothing behind the host and port";
}

export const Duration = z.string().transform(reader(readDuration));
export const Size = z.string().transform(reader(readSize));
export const Rate = z.string().transform(reader(readRate));

/** A rate, or rates by the time of day. */
export const Bandwidth = z
  .union([z.string(), z.record(z.string(), z.string())], {
    error: () => 'expected a rate such as "50MiB/s", or {"22:00-06:00": "unlimited", "*": "20MiB/s"}',
  })
  .transform(
    reader((given): Reading<BandwidthLimit> => {
      if (typeof given !== "string") return readBandwidthByHour(given);
      const rate = readRate(given);
      return "problem" in rate ? rate : { value: { windows: [], otherwise: rate.value } };
    }),
  );

function reader<Given, Value>(read: (given: Given) => Reading<Value>) {
  return (given: Given, context: z.core.$RefinementCtx<Given>): Value => {
    const reading = read(given);
    if ("value" in reading) return reading.value;
    context.issues.push({ code: "custom", message: reading.problem, input: given });
    return z.NEVER;
  };
}
