import { expect, test } from "vitest";
import { KEEP_ALL } from "../../src/model/policy.ts";
import type { Snapshot } from "../../src/model/snapshot.ts";
import { pruneSteps } from "../../src/plan/prune-steps.ts";
import { instance, job, NOW, named, names, own, policy, RUN } from "./fixtures.ts";

const taken = { ...own(0), createdAt: NOW };
const ALL = [own(72), own(48), own(24), taken];

type Case = {
  readonly name: string;
  readonly keep: string;
  readonly keepOnTarget: string;
  readonly history?: "keep";
  readonly gapSafe?: true;
  readonly source?: readonly Snapshot[];
  readonly target?: readonly Snapshot[];
  /** Hours of age of what goes, on the source and on the target. */
  readonly goes: readonly [readonly number[], readonly number[]];
  /** Whether the target's deletions wait for the source to have lost the same. */
  readonly conditional?: boolean;
  readonly warns?: readonly string[];
};

const cases: Case[] = [
  { name: "nothing without a policy", keep: "", keepOnTarget: "", goes: [[], []] },
  {
    name: "the same on both sides where one policy serves both",
    keep: "2",
    keepOnTarget: "2",
    goes: [
      [72, 48],
      [72, 48],
    ],
    conditional: true,
  },
  {
    name: "the same on both sides, each once the source has lost it, even where a gap would be safe",
    keep: "2",
    keepOnTarget: "2",
    gapSafe: true,
    goes: [
      [72, 48],
      [72, 48],
    ],
    conditional: true,
  },
  {
    name: "no more on the target than the source loses, where a gap would do damage",
    keep: "3",
    keepOnTarget: "1",
    goes: [[72], [72]],
    conditional: true,
    warns: ["would drop IAB_20261118-040000, IAB_20261119-040000 of web1, which the source keeps"],
  },
  {
    name: "what a shorter policy of the target says, where a gap is safe",
    keep: "3",
    keepOnTarget: "1",
    gapSafe: true,
    goes: [[72], [72, 48, 24]],
    conditional: false,
  },
  {
    name: "nothing on the target that its longer policy keeps, and says that the next refresh will",
    keep: "1",
    keepOnTarget: "3",
    goes: [[72, 48, 24], [72]],
    conditional: true,
    warns: ["would keep IAB_20261118-040000, IAB_20261119-040000 of web1, which the source drops"],
  },
  {
    name: "nothing on the target of a source whose own goes, where the target has no policy",
    keep: "2",
    keepOnTarget: "",
    goes: [[72, 48], []],
    warns: ["The target's policy (none) would keep"],
  },
  {
    name: "of kept history what the target's policy lets go and the source has forgotten",
    keep: "1",
    keepOnTarget: "1,1d2d",
    history: "keep",
    target: [own(120), own(96), ...ALL],
    goes: [
      [72, 48, 24],
      [120, 96, 72],
    ],
    conditional: true,
  },
  {
    name: "of kept history nothing that the source still has, gaps safe or not",
    keep: "3",
    keepOnTarget: "1",
    history: "keep",
    gapSafe: true,
    target: [own(96), ...ALL],
    goes: [[72], [96, 72]],
    conditional: true,
  },
  {
    name: "nothing that is not ours",
    keep: "1",
    keepOnTarget: "1",
    source: [named("manual", 90), taken],
    target: [named("manual", 90), taken],
    goes: [[], []],
  },
  {
    name: "what the target never had, on the source",
    keep: "1",
    keepOnTarget: "1",
    gapSafe: true,
    target: [own(24), taken],
    goes: [[72, 48, 24], [24]],
    conditional: true,
  },
];

for (const {
  name,
  keep,
  keepOnTarget,
  history = "mirror",
  gapSafe = false,
  goes,
  conditional,
  warns = [],
  ...lists
} of cases) {
  test(`pruneSteps() deletes ${name}`, () => {
    const after = { source: lists.source ?? ALL, target: lists.target ?? ALL };
    const unit = job("web1", { keep, keepOnTarget, history });
    const pair = { kind: "instance", job: unit, source: instance("web1"), replica: undefined } as const;
    const { steps, warnings } = pruneSteps({ pair, after, now: NOW, gapSafe, copyId: "copy:default/web1" });
    const removed = (side: string) =>
      steps.filter((step) => step.side === side).flatMap(({ removals }) => names(removals));
    expect([removed("source"), removed("target")]).toEqual(goes.map((ages) => ages.map((age) => own(age).name)));
    for (const step of steps.filter(({ side }) => side === "target"))
      expect(step.onlyIfGoneFrom).toEqual(conditional ? unit.source : undefined);
    expect(warnings.map(({ code }) => code)).toEqual(warns.map(() => "policy.unmet"));
    warns.forEach((text, at) => {
      expect(warnings[at]?.text).toContain(text);
    });
  });
}

test("pruneSteps() never deletes the newest that both sides have, whatever the policy says", () => {
  const unit = job("web1", { keep: "1", keepOnTarget: "1" });
  const pair = { kind: "instance", job: unit, source: instance("web1"), replica: undefined } as const;
  const lists = { source: [own(72), own(48), own(24)], target: [own(72), own(48)] };
  const { steps } = pruneSteps({ pair, after: lists, now: NOW, gapSafe: false, copyId: "copy" });
  expect(steps.map(({ side, removals }) => [side, names(removals)])).toEqual([
    ["source", [own(72).name]],
    ["target", [own(72).name]],
  ]);
  expect(steps[0]?.verdicts[1]).toMatchObject({ verdict: "keep", reasons: ["the newest on both sides"] });
});

test("pruneSteps() tells of every snapshot what the policy says of it", () => {
  const unit = job("web1", { keep: "2", keepOnTarget: "1", history: "keep" });
  const pair = { kind: "instance", job: unit, source: instance("web1"), replica: undefined } as const;
  const after = { source: ALL, target: ALL };
  const { steps } = pruneSteps({ pair, after, now: NOW, gapSafe: false, copyId: "copy" });
  expect(steps[1]?.verdicts.map(({ name, verdict, reasons }) => [name, verdict, reasons])).toEqual([
    [own(72).name, "remove", ["count: not among the newest 1"]],
    [own(48).name, "remove", ["count: not among the newest 1"]],
    [own(24).name, "keep", ["the source still has it"]],
    [RUN, "keep", ["count"]],
  ]);
});

test("pruneSteps() names in a warning a few snapshots and counts the others", () => {
  const many = Array.from({ length: 9 }, (_, at) => own(9 - at));
  const unit = job("web1", { retention: { source: KEEP_ALL, target: policy("1") } });
  const pair = { kind: "instance", job: unit, source: instance("web1"), replica: undefined } as const;
  const after = { source: [...many, taken], target: [...many, taken] };
  const { warnings } = pruneSteps({ pair, after, now: NOW, gapSafe: false, copyId: "copy" });
  expect(warnings[0]?.text).toContain(`${own(7).name} and 6 more of web1`);
});
