import { Refusal } from "./reply.ts";

type Clause = { readonly field: string; readonly operator: string; readonly value: string };

/** Reads `name eq x and status eq Running`: equality, joined by `and`; a real server knows more. */
export function filterOf(query: URLSearchParams): (element: object) => boolean {
  const text = query.get("filter");
  if (text === null || text === "") return () => true;
  const clauses = text.split(" and ").map(clauseOf);
  return (element) => clauses.every((clause) => holds(clause, element));
}

function clauseOf(text: string): Clause {
  const [field = "", operator, ...rest] = text.trim().split(/\s+/);
  if (operator === undefined) throw new Refusal(400, "Invalid filter: clause has no operator");
  if (operator !== "eq" && operator !== "ne") {
    throw new Refusal(400, `Invalid filter: "${operator}" is not a valid operator`);
  }
  return { field, operator, value: rest.join(" ").replace(/^"(.*)"$/, "$1") };
}

function holds({ field, operator, value }: Clause, element: object): boolean {
  const found = valueAt(element, field);
  return (String(found ?? "") === value) === (operator === "eq");
}

/** `config.user.x` is the key `user.x` of the config: keys have dots of their own. */
function valueAt(element: object, field: string): unknown {
  const entries = new Map<string, unknown>(Object.entries(element));
  if (entries.has(field)) return entries.get(field);
  const dot = field.indexOf(".");
  const inner = dot < 0 ? undefined : entries.get(field.slice(0, dot));
  return typeof inner === "object" && inner !== null ? valueAt(inner, field.slice(dot + 1)) : undefined;
}
