import { expect, test } from "vitest";
import { data, db, stage, web } from "./stage.ts";

const FOREIGN = "before-upgrade";
const NEVER = new Promise<void>(() => {});

/** A stage after two good runs, with something new to replicate and something to prune in the next. */
async function prepared() {
  const made = stage();
  for (const unit of [web, db, data]) {
    made.both.source.snapshot(unit, FOREIGN);
    made.later(3000);
  }
  for (let hour = 0; hour < 2; hour += 1) {
    expect((await made.run()).exitCode).toBe(0);
    made.later();
    for (const unit of [web, db, data]) made.both.source.get(unit).content = `${unit.name}-${hour + 1}`;
  }
  return made;
}

async function callsOfARun(): Promise<number> {
  const { both, run } = await prepared();
  const before = both.calls.length;
  await run();
  return both.calls.length - before;
}

test.each(["before", "after"] as const)(
  "a run that dies %s the effect of any of its calls is healed by the next: all there, nothing stopped, nothing lost",
  async (moment) => {
    const total = await callsOfARun();
    expect(total).toBeGreaterThan(40);
    for (let deadly = 1; deadly <= total; deadly += 1) {
      const { world, both, later, run } = await prepared();
      let count = 0;
      const died = new Promise<void>((resolve) => {
        both.intercept = async (_call, effect) => {
          count += 1;
          if (count > deadly) return NEVER;
          if (count < deadly || moment === "after") effect();
          if (count < deadly) return;
          // A process that was killed neither learns of answers nor does anything any more.
          resolve();
          return NEVER;
        };
      });
      await Promise.race([run(), died]);
      world.forgetLocks();
      const { sourceContents, last } = contentsOf(both);

      both.intercept = async (_call, effect) => effect();
      later();
      const next = await run();
      expect({ deadly, ...next }).toMatchObject({ deadly, exitCode: 0 });
      expect({ deadly, web: both.source.get(web) }).toMatchObject({ deadly, web: { status: "Running", config: {} } });
      for (const unit of [web, db, data]) {
        expect(both.source.names(unit)).toContain(FOREIGN);
        expect(both.target.names(unit)).toEqual(both.source.names(unit));
        expect(both.target.get(unit).content).toBe(last[unit.name]);
        for (const { name, content } of both.target.get(unit).snapshots) {
          const known = sourceContents.get(`${unit.name} ${name}`) ?? last[unit.name];
          expect({ deadly, name, content }).toEqual({ deadly, name, content: known });
        }
      }
    }
  },
);

type Made = Awaited<ReturnType<typeof prepared>>;

function contentsOf({ source }: Made["both"]) {
  const sourceContents = new Map<string, string>();
  const last: Record<string, string> = {};
  for (const unit of [web, db, data]) {
    last[unit.name] = source.get(unit).content;
    for (const { name, content } of source.get(unit).snapshots) sourceContents.set(`${unit.name} ${name}`, content);
  }
  return { sourceContents, last };
}
