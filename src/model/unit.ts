/** One instance, a container or a virtual machine, by its address on one server. */
export type InstanceUnit = { readonly kind: "instance"; readonly project: string; readonly name: string };

/** One custom storage volume, by its address on one server. */
export type VolumeUnit = {
  readonly kind: "volume";
  readonly project: string;
  readonly pool: string;
  readonly name: string;
};

/** A unit is one thing that is replicated: an instance, or a custom storage volume. */
export type Unit = InstanceUnit | VolumeUnit;

/** A unit's identity in step ids, reports and logs. An instance has one slash, a volume two, so they never meet. */
export function unitId(unit: Unit): string {
  switch (unit.kind) {
    case "instance":
      return `${unit.project}/${unit.name}`;
    case "volume":
      return `${unit.project}/${unit.pool}/${unit.name}`;
  }
}

/** The unit as the `incus` CLI spells it, which leaves the default project out. */
export function unitLabel(unit: Unit): string {
  const id = unitId(unit);
  return unit.project === "default" ? id.slice("default/".length) : id;
}
