import type { Files } from "../model/ports.ts";

/** Something that is mounted: what, and where. */
export type Mounted = { readonly source: string; readonly path: string };

/** All that this process sees mounted, the newest first. */
export async function mountsHere(files: Files, signal: AbortSignal): Promise<readonly Mounted[]> {
  return parseMounts(await files.read("/proc/self/mountinfo", signal));
}

/** Blanks and their like are written as three octal digits. */
export function parseMounts(text: string): readonly Mounted[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [about = "", storage = ""] = line.split(" - ");
      return { source: plain(storage.split(" ")[1] ?? ""), path: plain(about.split(" ")[4] ?? "") };
    })
    .toReversed();
}

function plain(escaped: string): string {
  return escaped.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
