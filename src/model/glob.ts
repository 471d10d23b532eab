import { AgentError } from "./errors.ts";

const WILD = /[*?[]/;

/** Whether a name in the configuration stands for several: no workload's name holds these characters. */
export function isGlob(name: string): boolean {
  return WILD.test(name);
}

/** Whether the glob stands for this name: `*` any run of characters, `?` one, `[a-c]` one of them, `[!a]` any but. */
export function globMatches(glob: string, name: string): boolean {
  return globPattern(glob).test(name);
}

/** The glob as a regular expression, for those who try many names. */
export function globPattern(glob: string): RegExp {
  const parts = glob.match(/\*|\?|\[[!^]?[^\]]+\]|[\s\S]/g) ?? [];
  try {
    return new RegExp(`^${parts.map(partPattern).join("")}$`);
  } catch (cause) {
    // A range that runs backwards: [z-a].
    throw new AgentError("usage", `Cannot read the pattern ${glob}: a range runs from the lower to the higher`, {
      cause,
    });
  }
}

function partPattern(part: string): string {
  if (part === "*") return ".*";
  if (part === "?") return ".";
  if (part.length > 1) return part.replace(/^\[[!^]/, "[^").replaceAll("\\", "\\\\");
  return part.replace(/[.*+?^${}()|[\]\\]/, "\\$&");
}
