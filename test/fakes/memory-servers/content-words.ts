import type { Contents } from "../../../src/model/contents.ts";

/** The contents of a volume as the one word that the servers in memory know content by. */
export function wordOf(contents: Contents): string {
  return JSON.stringify([...contents].map(([path, bytes]) => [path, Buffer.from(bytes).toString("base64")]));
}

/** The contents that the word stands for. */
export function contentsIn(word: string): Contents {
  const files = JSON.parse(word) as [string, string][];
  return new Map(files.map(([path, text]) => [path, Buffer.from(text, "base64")]));
}
