# Shared by build, up, down and sh: where things lie, and how to speak. Sourced by bash, never run.

ZFS_SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$ZFS_SRC/../.." && pwd)
# The running machine: everything in here goes when it goes down.
LAB=${IAB_LAB_DIR:-$TOP/.lab}/zfs
case $LAB in /*) ;; *) LAB=$PWD/$LAB ;; esac
RUN=$LAB/run
# What is built once and booted by every lab: image, kernel, saved state.
if [ -n "${IAB_LAB_CACHE:-}" ]; then CACHE=$IAB_LAB_CACHE/zfs; else CACHE=$LAB/cache; fi
case $CACHE in /*) ;; *) CACHE=$PWD/$CACHE ;; esac

STARTED=$SECONDS
say() { printf 'lab-zfs: [%3d s] %s\n' $((SECONDS - STARTED)) "$*" >&2; }
die() { printf 'lab-zfs: %s\n' "$*" >&2; exit 1; }

must_be_root() {
  [ "$(id -u)" = 0 ] || die "this needs root: it unpacks Debian roots and runs commands in them"
  [ "$(uname -m)" = x86_64 ] || die "the machine is made for x86-64, this is $(uname -m)"
}

# What ssh and a socket's address can bear.
check_paths() {
  [ ${#RUN} -le 80 ] || die "the path $RUN is too long (80 characters at most): set IAB_LAB_DIR to a shorter one"
  case $RUN$CACHE in
    *[!A-Za-z0-9/._+@-]*) die "the paths $RUN and $CACHE may hold letters, digits and / . _ + @ - only: set IAB_LAB_DIR or IAB_LAB_CACHE" ;;
  esac
}

# need PACKAGE...: Debian packages on this machine, installed where they are missing.
need() {
  local name missing=()
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "installing ${missing[*]}"
  local log; log=$(mktemp)
  { DEBIAN_FRONTEND=noninteractive apt-get -q update &&
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 --no-install-recommends install "${missing[@]}"; } >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; rm -f "$log"; die "apt-get could not install ${missing[*]}"; }
  rm -f "$log"
}

# fingerprint TEXT...: twelve digits that change whenever the recipe does.
fingerprint() { printf '%s\n' "$@" | sha256sum | cut -c1-12; }

# lock NAME: one builder (or starter) at a time; the rest wait. Freed when the process ends, however it ends.
lock() {
  mkdir -p "$(dirname "$1")"
  exec 8>"$1"
  flock -n 8 || { say "waiting for another process that holds $1"; flock 8; }
}

# forget_old PREFIX KEEP: of the cache's folders with that name only the latest used stay; a machine that still runs on
# an older one holds its files open.
forget_old() {
  find "$CACHE" -maxdepth 1 -name "$1-*" -printf '%T@ %p\n' | sort -rn | tail -n "+$(($2 + 1))" | cut -d' ' -f2- | xargs -r -d '\n' rm -rf --one-file-system
}
