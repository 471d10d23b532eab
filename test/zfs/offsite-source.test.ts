import { basename } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Subject } from "../../src/model/reading.ts";
import { type Unit, unitId } from "../../src/model/unit.ts";
import type { HolderOrders } from "../contract/storage-holder.ts";
import { pointsOf } from "../contract/storage-lab.ts";
import { subjectOf } from "../contract/subjects.ts";
import { buildAgent, openSiteBetween, type Site } from "../e2e/site.ts";
import { bytesOf } from "../lab/content.ts";
import { GENERATIONS } from "../lab/lab.ts";
import { openScratch, type Scratch } from "../lab/scratch.ts";
import { deleteUnit, stopInstance, takeSnapshot } from "../lab/workloads.ts";
import {
  datasetOf,
  digestsOf,
  inGuest,
  linesOf,
  openZfsLab,
  type PoolKind,
  writeInto,
  type ZfsDaemon,
} from "./guest.ts";
import { bringTools, dataUnit, furnish, HOME, restoreSnapshot, type Workload } from "./offsite-guest.ts";

const POINTS = 12;
/** What is written into each part between two backups. */
const CHANGE_BYTES = 16 * 1024 ** 2;
const PASSPHRASE = "twelve letters";

/** Parts whose first backups are restored too. */
const FEW = /_(running|disk)$/;

const Listed = z.array(z.object({ id: z.string(), tags: z.record(z.string(), z.string()) }));
const Report = z.object({
  outcomes: z.array(
    z.object({ state: z.string(), error: z.object({ message: z.string(), hint: z.string().nullish() }).optional() }),
  ),
});
const Ended = z.object({ swept: z.array(z.string()), first: z.number(), effects: z.number() });

type Parts = { readonly dataset: string; readonly workload: string; readonly part: string };

describe.each(GENERATIONS)("offsite backups from ZFS, Incus %s", (generation) => {
  const lab = openZfsLab();
  const { source } = lab.incus[generation];
  const zpool = source.zpools.zfs;
  const plain = `${zpool}/plain`;
  let site: Site<ZfsDaemon>;
  let scratch: Scratch;
  let workloads: Workload[];

  beforeAll(async () => {
    await buildAgent();
    site = await openSiteBetween(lab.incus[generation]);
    scratch = await openScratch(source);
    const signal = AbortSignal.timeout(1_200_000);
    workloads = await furnish(source, scratch.project, signal);
    await makePlain(signal);
    await change("first", signal);
    const { project } = scratch;
    await site.writeConfig({
      projects: [],
      offsite: {
        repository_password: "secret",
        backend: { type: "filesystem", filesystem: { path: `${HOME}/repository` } },
        create: true,
        hostname: "guest",
        username: "iab",
        cache: { directory: `${HOME}/cache` },
        sources: [
          {
            read: "zfs",
            instances: [`${project}/*`],
            volumes: [`${project}/${source.pools.zfs}/*`, `${project}/${source.pools.zfsEncrypted}/*`],
            datasets: [plain, `${zpool}/locked`],
          },
        ],
      },
    });
    await bringTools(site, lab.kopia, signal);
  });

  afterAll(async () => {
    await scratch?.close();
    const words = ["plain", "locked", "restored"].map((name) => `zfs destroy -r ${zpool}/${name}`);
    await inGuest(`${words.join("; ")}; rm -rf ${HOME}`, AbortSignal.timeout(300_000));
    await site?.close();
  });

  async function makePlain(signal: AbortSignal): Promise<void> {
    const make = [
      `zfs create -o mountpoint=legacy ${plain}`,
      `zfs create -o mountpoint=legacy ${plain}/below`,
      `zfs create -V 24M -o volmode=none ${plain}/swap`,
      `printf '${PASSPHRASE}' | zfs create -o encryption=on -o keyformat=passphrase -o mountpoint=legacy ${zpool}/locked`,
      `zfs unload-key ${zpool}/locked`,
      `zfs create -o mountpoint=none ${zpool}/restored`,
    ];
    await inGuest(make.join(" && "), signal);
  }

  /** What is backed up: each dataset, its workload or dataset as tags have it, and the part that it becomes. */
  const parts = (): Parts[] => [
    ...workloads.map(({ unit, pool, type }) => {
      return {
        dataset: datasetOf(source, pool, unit),
        workload: unitId(unit),
        part: type === "block" ? "disk" : "files",
      };
    }),
    { dataset: `${dataOf(workloads)}/inner`, workload: unitId(dataUnit(workloads)), part: "files/inner" },
    { dataset: plain, workload: `zfs:${plain}`, part: "files" },
    { dataset: `${plain}/below`, workload: `zfs:${plain}`, part: "files/below" },
    { dataset: `${plain}/swap`, workload: `zfs:${plain}`, part: "disk/swap" },
  ];

  async function change(seed: string, signal: AbortSignal): Promise<void> {
    for (const { dataset, workload } of parts()) {
      const content = Buffer.concat([...bytesOf(`${seed}/${dataset}`, CHANGE_BYTES)]);
      // The running one is written to from within, as a workload does it.
      if (workload.endsWith("/running")) {
        const inside = `incus-${generation}-source exec running --project ${scratch.project} -- sh -c 'cat >/data'`;
        await inGuest(inside, signal, content);
      } else await writeInto(dataset, "data", content, signal);
    }
  }

  function dataOf(all: readonly Workload[]): string {
    return datasetOf(source, "zfs", dataUnit(all));
  }

  async function iab(words: string, signal: AbortSignal): Promise<{ exitCode: number; stdout: string }> {
    const folder = `${HOME}/${basename(site.folder)}`;
    const environment = `HOME=${HOME} IAB_KOPIA=${HOME}/kopia`;
    const text = await inGuest(
      `cd ${HOME} && ${environment} node iab.mjs ${words} --config ${folder}/config.json 2>${HOME}/stderr; code=$?; echo; echo $code`,
      signal,
    );
    const lines = text.trimEnd().split("\n");
    return { exitCode: Number(lines.pop()), stdout: lines.join("\n") };
  }

  async function run(signal: AbortSignal): Promise<{ exitCode: number; failures: readonly unknown[] }> {
    const { exitCode, stdout } = await iab("offsite run -f json", signal);
    const errors = stdout.trim() === "" ? await inGuest(`cat ${HOME}/stderr`, signal) : "";
    expect(errors).toBe("");
    const failures = Report.parse(JSON.parse(stdout)).outcomes.flatMap(({ error }) => error ?? []);
    return { exitCode, failures };
  }

  /** The digests of backups once they are restored: of each part the first that was made, or the newest. */
  async function restored(which: "first" | "newest", wanted: readonly Parts[], signal: AbortSignal): Promise<string[]> {
    const listed = Listed.parse(JSON.parse((await iab("offsite list -f json", signal)).stdout));
    const found: string[] = [];
    for (const { workload, part } of wanted) {
      const all = listed.filter(({ tags }) => tags["workload"] === workload && tags["part"] === part);
      const id = (which === "first" ? all[0] : all.at(-1))?.id;
      const dataset = `${zpool}/restored/${id?.slice(0, 8)}`;
      const folder = `${HOME}/restored`;
      await inGuest(`zfs create -o mountpoint=${folder} ${dataset}`, signal);
      const { exitCode } = await iab(`offsite restore ${id} --to ${folder}`, signal);
      expect(exitCode, await inGuest(`cat ${HOME}/stderr`, signal)).toBe(0);
      const isDisk = part.startsWith("disk");
      const sum = isDisk ? (await inGuest(`sha256sum <${folder}/disk.img`, signal)).split(" ")[0] : undefined;
      found.push(sum ?? (await digestsOf([dataset], signal))[0] ?? "");
      await inGuest(`zfs destroy -r ${dataset}`, signal);
    }
    return found;
  }

  /** What workloads hold that are made again from their newest backups, each in the other pool. */
  async function madeAgain(signal: AbortSignal): Promise<string[][]> {
    const listed = Listed.parse(JSON.parse((await iab("offsite list -f json", signal)).stdout));
    const found: string[][] = [];
    for (const { unit, pool } of workloads) {
      const other = pool === "zfs" ? "zfsEncrypted" : "zfs";
      const id = listed.findLast(({ tags }) => tags["workload"] === unitId(unit) && tags["part"] !== "record")?.id;
      const made: Unit = {
        ...unit,
        name: `again-${unit.name}`,
        ...(unit.kind === "volume" && { pool: source.pools[other] }),
      };
      const name = unit.kind === "volume" ? `${source.pools[other]}/${made.name}` : made.name;
      const to = `--to-incus ${unit.project}/${name} --pool ${source.pools[other]}`;
      const { exitCode } = await iab(`offsite restore ${id} ${to}`, signal);
      expect(exitCode, await inGuest(`cat ${HOME}/stderr`, signal)).toBe(0);
      found.push(await contentOf(made, other, signal));
      await deleteUnit(source, made);
    }
    return found;
  }

  /** A dataset within comes back as a folder. */
  async function contentOf(unit: Unit, pool: PoolKind, signal: AbortSignal): Promise<string[]> {
    const dataset = datasetOf(source, pool, unit);
    if (unit.name.endsWith("disk")) return digestsOf([dataset], signal);
    const lines = await linesOf(dataset, signal);
    if (unit.name !== "data") return lines;
    const inner = await linesOf(`${dataset}/inner`, signal);
    return [...lines, "inner\td\t755\t0:0\t", ...inner.map((line) => `inner/${line}`)].sort();
  }

  /** All that lies in the repository, its indexes and logs included. */
  async function repositoryBytes(signal: AbortSignal): Promise<number> {
    return Number((await inGuest(`du -sb ${HOME}/repository`, signal)).split("\t")[0]);
  }

  const digests = (signal: AbortSignal) =>
    digestsOf(
      parts().map(({ dataset }) => dataset),
      signal,
    );

  /** Everything on both zpools, what holds it, and what of it is mounted where. */
  async function everything(signal: AbortSignal): Promise<string> {
    const pools = Object.values(source.zpools).join(" ");
    const list = `zfs list -H -t all -o name -r ${pools}`;
    const holds = `zfs list -H -t snapshot -o name -r ${pools} | xargs zfs holds -H | cut -f1,2`;
    return inGuest(`${list}; ${holds}; grep ' zfs ' /proc/self/mounts; ls -A /run/iab/offsite`, signal);
  }

  test("two backups come back as the data was at their moment; a locked dataset is named", async ({ signal }) => {
    const before = await digests(signal);
    const clean = await everything(signal);
    const locked = `Cannot read zfs:${zpool}/locked: dataset ${zpool}/locked is encrypted and its key is not loaded`;
    const failure = { message: locked, hint: `zfs load-key ${zpool}/locked` };
    expect(await run(signal)).toEqual({ exitCode: 3, failures: [expect.objectContaining(failure)] });
    expect(await everything(signal)).toBe(clean);

    await inGuest(`printf '${PASSPHRASE}' | zfs load-key ${zpool}/locked`, signal);
    await change("second", signal);
    const changed = await digests(signal);
    expect(changed.filter((digest) => before.includes(digest))).toEqual([]);
    const stored = await repositoryBytes(signal);
    expect(await run(signal)).toEqual({ exitCode: 0, failures: [] });
    const uploaded = (await repositoryBytes(signal)) - stored;
    const changeBytes = parts().length * CHANGE_BYTES;
    process.stdout.write(`${uploaded} bytes stored of a change of ${changeBytes}\n`);
    expect(uploaded).toBeLessThanOrEqual(changeBytes * 1.05);
    expect(await restored("newest", parts(), signal)).toEqual(changed);
    const live: string[][] = [];
    for (const { unit, pool } of workloads) live.push(await contentOf(unit, pool, signal));
    expect(await madeAgain(signal)).toEqual(live);
    // What was restored of the first is enough to see that it is another: a running container's files, and a disk.
    const few = parts().flatMap((part, index) => (FEW.test(part.dataset) ? [{ ...part, digest: before[index] }] : []));
    expect(await restored("first", few, signal)).toEqual(few.map(({ digest }) => digest));
  });

  test(`after kill -9 at ${POINTS} points the next run leaves nothing of ours, and all of others'`, async ({
    signal,
  }) => {
    const held = dataOf(workloads);
    const foreign = `${held}@iab-offsite-foreign`;
    await inGuest(
      `zfs snapshot ${foreign} && zfs hold theirs ${foreign} && zfs clone ${foreign} ${zpool}/iab-theirs-1`,
      signal,
    );
    const clean = await everything(signal);
    const whole = await hold(0, undefined, signal);
    if (whole === undefined) throw new Error("It was killed");
    let left = 0;
    for (const [index, killAt] of pointsOf(whole, POINTS).entries()) {
      expect(await hold(2 * index + 1, killAt, signal), `point ${killAt}`).toBeUndefined();
      const next = await hold(2 * index + 2, undefined, signal);
      if ((next?.swept.length ?? 0) > 0) left += 1;
      expect(await everything(signal), `point ${killAt}`).toBe(clean);
    }
    expect(left).toBeGreaterThan(POINTS / 3);
    await inGuest(
      `zfs destroy ${zpool}/iab-theirs-1 && zfs release theirs ${foreign} && zfs destroy ${foreign}`,
      signal,
    );
  });

  /** One run of the program that holds, in the guest; undefined where it was killed. */
  async function hold(number: number, killAt: number | undefined, signal: AbortSignal) {
    const subjects: Subject[] = workloads.map(({ unit, pool, type }) => {
      const subject = subjectOf(unit, source.pools[pool], "zfs", type);
      return { ...subject, pool: { ...subject.pool, dataset: `${source.zpools[pool]}/incus` } };
    });
    const orders: HolderOrders = {
      read: "zfs",
      root: undefined,
      mountFolder: "/run/iab/offsite",
      subjects: [...subjects, { kind: "dataset", dataset: plain }],
      run: { owner: "root@zfs-test", name: `offsite-test-${number}` },
      killAt,
    };
    const holder = `node ${HOME}/storage-holder.mjs '${JSON.stringify(orders)}' 2>${HOME}/stderr`;
    const lines = (await inGuest(`${holder}; code=$?; echo; echo $code`, signal)).trimEnd().split("\n");
    const code = lines.pop();
    if (code === "137") return undefined;
    expect(code, await inGuest(`cat ${HOME}/stderr`, signal)).toBe("0");
    return Ended.parse(JSON.parse(lines.join("")));
  }

  test("Incus restores and deletes everything afterwards", async ({ signal }) => {
    for (const { unit, pool } of workloads) {
      await takeSnapshot(source, unit, "afterwards");
      if (unit.kind === "instance" && unit.name === "running") await stopInstance(source, unit);
      await restoreSnapshot(source, unit, "afterwards");
      await deleteUnit(source, unit);
      const dataset = datasetOf(source, pool, unit);
      expect(await inGuest(`zfs list -H -o name -r ${source.zpools[pool]}/incus`, signal)).not.toContain(dataset);
    }
    const deleted = Object.values(source.zpools).map((name) => `${name}/incus/deleted`);
    const parked = await inGuest(`zfs list -H -o name -r ${deleted.join(" ")} | grep -v images || true`, signal);
    expect(parked.split("\n").filter((name) => name.split("/").length > 4)).toEqual([]);
  });
});
