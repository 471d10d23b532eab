import { dirname, join } from "node:path";

/** Which rooms a room may lean on besides `model` and itself. A room that is not named here may lean on no other. */
const MAY_IMPORT: Readonly<Record<string, readonly string[] | "every room">> = {
  config: ["retention"],
  plan: ["retention"],
  incus: ["tar"],
  export: ["tar"],
  cli: "every room",
};

const PURE = ["model", "retention", "config", "plan", "render"];
const EFFECT = /\bawait\b|\bfetch\(|\bprocess\.|\bconsole\.|Date\.now\(|new Date\(\)|Math\.random\(|from "node:/;

/** TLS checks may be relaxed in one file only. */
const TLS_SWITCH = /rejectUnauthorized|checkServerIdentity|NODE_TLS_REJECT_UNAUTHORIZED/;
const TLS_HOME = "src/incus/tls.ts";

const LONGEST_FILE_LINES = 300;

/** Everything in a source file that breaks a rule of the house that a machine can check. */
export function violations(path: string, text: string): string[] {
  const code = withoutComments(text);
  const room = roomOf(path);
  return [
    ...importsOf(code)
      .filter((target) => target.startsWith("."))
      .map((target) => roomOf(join(dirname(path), target)))
      .filter((target) => !mayLean(room, target))
      .map((target) => `${path}: ${room} may not import ${target}`),
    ...(PURE.includes(room) && EFFECT.test(code) ? [`${path}: ${room} is pure and has a side effect`] : []),
    ...(path !== TLS_HOME && TLS_SWITCH.test(code) ? [`${path}: only ${TLS_HOME} may touch TLS checks`] : []),
    ...(text.split("\n").length - 1 > LONGEST_FILE_LINES ? [`${path}: longer than ${LONGEST_FILE_LINES} lines`] : []),
    ...(path.endsWith("/index.ts") || ["utils", "common"].includes(room) ? [`${path}: has no place in the house`] : []),
    ...(/\bTODO\b(?! #\d)|\bFIXME\b/.test(text) ? [`${path}: a TODO without the number of an issue`] : []),
  ];
}

function mayLean(room: string, target: string): boolean {
  if (target === room || target === "model") return true;
  if (room === "main") return true;
  const more = MAY_IMPORT[room];
  return more === "every room" || (more?.includes(target) ?? false);
}

/** `src/plan/make-plan.ts` is in the room plan; `src/main.ts` is a room by itself. */
function roomOf(path: string): string {
  const [, room = ""] = path.split("/");
  return room.replace(/\.ts$/, "");
}

function importsOf(code: string): string[] {
  return [...code.matchAll(/\bfrom\s+"([^"]+)"|\bimport\(\s*"([^"]+)"|\bimport\s+"([^"]+)"/g)].map(
    ([, from, dynamic, bare]) => from ?? dynamic ?? bare ?? "",
  );
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}
