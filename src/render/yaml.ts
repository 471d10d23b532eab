/** A text that YAML 1.1 and 1.2 alike read back as the same text without quotes. */
const PLAIN_TEXT = /^[A-Za-z_/][\w./@ +-]*(?<! )$/;
const NOT_TEXT = /^(?:true|false|yes|no|on|off|y|n|null)$/i;

/** Plain data (what JSON can hold) as YAML, for programs and for people who prefer to read that. */
export function yamlText(data: unknown): string {
  return `${block(JSON.parse(JSON.stringify(data ?? null)), "").join("\n")}\n`;
}

/** The lines of a value that stands on lines of its own. */
function block(value: unknown, indent: string): string[] {
  if (Array.isArray(value) && value.length > 0) {
    return value.flatMap((item) => {
      const [first = "", ...rest] = block(item, `${indent}  `);
      return [`${indent}- ${first.trimStart()}`, ...rest];
    });
  }
  if (isMap(value)) return Object.entries(value).flatMap(([key, item]) => entry(key, item, indent));
  return [indent + scalar(value)];
}

function entry(key: string, value: unknown, indent: string): string[] {
  const head = `${indent}${scalar(key)}:`;
  if (Array.isArray(value) && value.length > 0) return [head, ...block(value, indent)];
  if (isMap(value)) return [head, ...block(value, `${indent}  `)];
  return [`${head} ${scalar(value)}`];
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 0;
}

function scalar(value: unknown): string {
  if (typeof value === "string" && PLAIN_TEXT.test(value) && !NOT_TEXT.test(value)) return value;
  return JSON.stringify(value);
}
