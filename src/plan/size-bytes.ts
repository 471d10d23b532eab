const UNITS = ["", "k", "M", "G", "T", "P", "E"];

/** The bytes in a size as Incus writes it (`10GiB`, `500MB`, `1048576`); undefined where it is none. */
export function sizeBytes(text: string): number | undefined {
  const [, digits, prefix = "", binary] = /^(\d+)\s*([kKMGTPE]?)(i?)B?$/.exec(text.trim()) ?? [];
  if (digits === undefined) return undefined;
  const power = UNITS.indexOf(prefix === "K" ? "k" : prefix);
  return Number(digits) * (binary === "i" ? 1024 : 1000) ** power;
}

/** Whether the target's limit is below the source's; none at all is the largest. */
export function isSmaller(target: string | undefined, source: string | undefined): boolean {
  const [there, here] = [sizeBytes(target ?? ""), sizeBytes(source ?? "")];
  return there !== undefined && (here === undefined || there < here);
}
