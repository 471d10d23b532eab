/** The word that was most likely meant; undefined where none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const given = word.toLowerCase();
  const within = Math.max(2, Math.floor(word.length / 3));
  return known
    .map((name) => ({ name, distance: distance(given, name.toLowerCase()) }))
    .filter(({ name, distance: far }) => far <= within && far < name.length)
    .sort((a, b) => a.distance - b.distance)[0]?.name;
}

/** How many letters must be added, left out, changed or swapped to make one word the other. */
function distance(from: string, to: string): number {
  let before: number[] = [];
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let line = 1; line <= from.length; line++) {
    const next = [line];
    for (let column = 1; column <= to.length; column++) {
      const same = from[line - 1] === to[column - 1];
      const swapped = from[line - 2] === to[column - 1] && from[line - 1] === to[column - 2];
      const costs = [at(next, column - 1) + 1, at(row, column) + 1, at(row, column - 1) + (same ? 0 : 1)];
      if (swapped && line > 1 && column > 1) costs.push(at(before, column - 2) + 1);
      next.push(Math.min(...costs));
    }
    [before, row] = [row, next];
  }
  return at(row, to.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? 0;
}
