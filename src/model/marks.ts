/** The keys we write on instances and volumes. Nothing else on a server is changed. */
export const MARKS = {
  /** On a replica: the source's host name and unit, `prod:default/web1`. */
  source: "user.iab.source",
  /** On a replica: the source instance's `volatile.uuid`, so that another one of the same name is noticed. */
  sourceUuid: "user.iab.source-uuid",
  /** On a replica: the newest snapshot that was proven to be there. */
  last: "user.iab.last",
  /** On a replica: JSON of the devices it was made without. */
  dropped: "user.iab.dropped-devices",
  /** On a replica: JSON of its source's profiles that it does without. */
  leftOff: "user.iab.dropped-profiles",
  /**
   * On a replica with kept history: the names of its snapshots, as JSON, to notice when some are lost. Of an instance on
   * its root volume too: a refresh by hand replaces the instance's configuration by the source's, and leaves that.
   */
  kept: "user.iab.kept",
  /** On a ZFS replica with kept history: JSON from snapshot name to GUID, as the source has once offered it. */
  guids: "user.iab.guids",
  /** On a replica with kept history: the rehearsal that had been passed when it was last copied. */
  rehearsed: "user.iab.rehearsed",
  /** On a scratch volume of a rehearsal: the two servers it was made between. */
  scratch: "user.iab.rehearsal",
  /** On a source instance, only while it is stopped for its snapshot: the run that stopped it. */
  stopped: "user.iab.stopped",
  /** On what an offsite run makes for the time of its reading (a copy to export from): `user@host` and the run, `iab@host1 offsite-…`. */
  offsite: "user.iab.offsite",
  /** On an empty profile that we made: the one of the source that it stands in for, `prod:default/big`. */
  standIn: "user.iab.stand-in",
  /** On what is being restored, until it is whole and in its place: what tells it from anything that somebody else has made. */
  restoring: "user.iab.restoring",
} as const;
