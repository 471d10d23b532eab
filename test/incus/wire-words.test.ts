import fc from "fast-check";
import { expect, test } from "vitest";
import { snapshotsOf } from "../../src/incus/instances.ts";
import { compareMoments, epochMs, epochMsOrNever } from "../../src/incus/moments.ts";
import { snapshotPath, unitAt, unitPath } from "../../src/incus/unit-path.ts";
import { flatVolumesOf, fullVolumesOf, VolumeSchema } from "../../src/incus/volumes.ts";

const moments: { name: string; text: string | null; at: number | undefined }[] = [
  { name: "a moment", text: "2026-11-20T06:38:43.40182743Z", at: Date.UTC(2026, 10, 20, 6, 38, 43, 401) },
  { name: "a moment elsewhere", text: "2026-11-20T08:38:43+02:00", at: Date.UTC(2026, 10, 20, 6, 38, 43) },
  { name: "Go's zero time", text: "0001-01-01T00:00:00Z", at: undefined },
  { name: "null", text: null, at: undefined },
];

test.each(moments)("epochMsOrNever() reads $name", ({ text, at }) => {
  expect(epochMsOrNever(text)).toBe(at);
});

test("compareMoments() orders nanoseconds, however many digits the server writes", () => {
  const nanoseconds = fc.nat({ max: 999_999_999 });
  fc.assert(
    fc.property(nanoseconds, nanoseconds, (a, b) => {
      expect(Math.sign(compareMoments(moment(a), moment(b)))).toBe(Math.sign(a - b));
      expect(epochMs(moment(a))).toBe(Date.UTC(2026, 10, 20, 6, 38, 43, Math.floor(a / 1e6)));
    }),
  );
});

/** As Go writes it: without the zeros at the end. */
function moment(nanoseconds: number): string {
  const fraction = String(nanoseconds).padStart(9, "0").replace(/0+$/, "");
  return `2026-11-20T06:38:43${fraction === "" ? "" : `.${fraction}`}Z`;
}

test("snapshotsOf() gives bare names, oldest first, with what is known of them", () => {
  const wire = [
    { name: "vol/b", created_at: "2026-11-20T06:00:00.1234Z", expires_at: null, size: -1 },
    { name: "vol/a", created_at: "2026-11-20T06:00:00.12Z", expires_at: "2026-12-01T00:00:00Z", size: 0 },
  ];
  expect(snapshotsOf(wire)).toEqual([
    {
      name: "a",
      createdAt: Date.UTC(2026, 10, 20, 6, 0, 0, 120),
      createdAtExact: "2026-11-20T06:00:00.12Z",
      expiresAt: Date.UTC(2026, 11, 1),
      sizeBytes: 0,
    },
    {
      name: "b",
      createdAt: Date.UTC(2026, 10, 20, 6, 0, 0, 123),
      createdAtExact: "2026-11-20T06:00:00.1234Z",
      expiresAt: undefined,
      sizeBytes: undefined,
    },
  ]);
});

test("unitPath() and snapshotPath() encode what has a meaning in addresses", () => {
  const volume = { kind: "volume", project: "p", pool: "a b", name: "50%" } as const;
  expect(unitPath(volume)).toBe("/1.0/storage-pools/a%20b/volumes/custom/50%25");
  expect(snapshotPath({ kind: "instance", project: "p", name: "web" }, "a#b?")).toBe(
    "/1.0/instances/web/snapshots/a%23b%3F",
  );
});

const addresses: { address: string; unit: unknown }[] = [
  { address: "/1.0/instances/web", unit: { kind: "instance", project: "default", name: "web" } },
  { address: "/1.0/instances/web?project=my+p", unit: { kind: "instance", project: "my p", name: "web" } },
  { address: "/1.0/instances/web/snapshots/s0?project=p", unit: undefined },
  { address: "/1.0/profiles/default", unit: undefined },
  {
    address: "/1.0/storage-pools/a/volumes/custom/v?project=p",
    unit: { kind: "volume", project: "p", pool: "a", name: "v" },
  },
  {
    address: "/1.0/storage-pools/a/volumes/custom/50%?target=m1",
    unit: { kind: "volume", project: "default", pool: "a", name: "50%" },
  },
  { address: "/1.0/storage-pools/a/volumes/container/v", unit: undefined },
  { address: "", unit: undefined },
];

test.each(addresses)("unitAt() reads '$address'", ({ address, unit }) => {
  expect(unitAt(address)).toEqual(unit);
});

const CREATED = "2026-11-20T06:00:00Z";
const volume = (name: string, more = {}) => VolumeSchema.parse({ name, created_at: CREATED, ...more });

test("flatVolumesOf() puts snapshots to the volume of their project and member", () => {
  const volumes = flatVolumesOf("tank", [
    volume("v", { project: "a" }),
    volume("v", { project: "b", location: "m1" }),
    volume("v", { project: "b", location: "m2" }),
    volume("v/s1", { project: "b", location: "m2" }),
    volume("v/s0", { project: "a" }),
    volume("v/s1", { project: "a" }),
    volume("gone/s1", { project: "a" }),
  ]);
  expect(
    volumes.map(({ project, location, snapshots }) => [project, location, snapshots.map(({ name }) => name)]),
  ).toEqual([
    ["a", "", ["s0", "s1"]],
    ["b", "m1", []],
    ["b", "m2", ["s1"]],
  ]);
});

test("fullVolumesOf() lists a volume that several projects share only once", () => {
  const shared = volume("v", {
    project: "default",
    location: "none",
    snapshots: [{ name: "s0", created_at: CREATED }],
  });
  const volumes = fullVolumesOf("tank", [shared, shared]);
  expect(volumes).toHaveLength(1);
  expect(volumes[0]).toMatchObject({ pool: "tank", project: "default", location: "", snapshots: [{ name: "s0" }] });
});

test("a volume's users are the instances that have it, without profiles and snapshots", () => {
  const used_by = ["/1.0/instances/a?project=p", "/1.0/profiles/default", "/1.0/instances/a/snapshots/s?project=p"];
  const [found] = fullVolumesOf("tank", [volume("v", { used_by })]);
  expect(found?.usedBy).toEqual([{ kind: "instance", project: "p", name: "a" }]);
});
