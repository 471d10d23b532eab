# shellcheck shell=bash disable=SC2034
# What every part of the lab shares: where it lives, how it speaks, how it locks. Sourced, never run.

LAB_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LAB=${IAB_LAB_DIR:-$(dirname "$LAB_SOURCE")/.lab}
case $LAB in /*) ;; *) LAB=$PWD/$LAB ;; esac
STATE=$LAB/state
# A lab stays with the cache that it was started on: its daemons stand on the programs in there.
CACHE=$(cat "$STATE/cache" 2>/dev/null) || CACHE=${IAB_LAB_CACHE:-$LAB/cache}
case $CACHE in /*) ;; *) CACHE=$PWD/$CACHE ;; esac
LOGS=$LAB/log
# Every process of this lab carries this word in its command line or its environment: lab/down finds it by that.
MARK=iab-lab:$LAB
# A short name of this lab for what has no folder: control groups and bridges.
LAB_ID=$(printf '%08x' "$(printf '%s' "$LAB" | cksum | cut -d' ' -f1)")

GENERATIONS=(6.0 7.0)

# load PART...: the other files of this folder.
load() {
  local part
  # shellcheck source=/dev/null
  for part in "$@"; do . "$LAB_SOURCE/lib/$part.sh"; done
}

say() { printf 'lab: %s\n' "$*" >&2; }
die() {
  printf 'lab: error: %s\n' "$*" >&2
  exit 1
}

# Closes what the caller had open: the daemons outlive this program, and a lock of the caller's must not live as long.
# 255 is where bash reads the program from.
let_go() {
  local fd
  for fd in "/proc/$$/fd/"*; do
    fd=${fd##*/}
    [ "$fd" -le 2 ] || [ "$fd" -eq 255 ] || eval "exec $fd>&-"
  done
}

# Starts this program anew with the mark in its environment, so that lab/down finds it too.
bear_mark() {
  let_go
  [ "${IAB_LAB_MARK:-}" = "$MARK" ] || IAB_LAB_MARK=$MARK exec "$0" "$@"
}

need_root() {
  [ "$(id -u)" = 0 ] || die "the lab needs root (namespaces, loop devices, mounts): run it with sudo"
}

# need_packages NAME...: what a bare Debian lacks. The only change that the lab makes to the machine's own packages.
need_packages() {
  local name missing=()
  for name in "$@"; do
    [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]} with apt-get"
  DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}" >&2 9>&- ||
    { apt-get -q update >&2 && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}" >&2; } ||
    die "cannot install ${missing[*]}"
}

# The unix sockets of the daemons lie below this folder, and a socket's path ends at 107 characters.
check_lab_path() {
  [ ${#LAB} -le 70 ] || die "the path $LAB is too long (70 characters at most): set IAB_LAB_DIR to a shorter one"
  case $LAB$CACHE in
    *[!A-Za-z0-9/._+@-]*) die "the paths $LAB and $CACHE may hold letters, digits and / . _ + @ - only: set IAB_LAB_DIR or IAB_LAB_CACHE" ;;
    /usr/* | /etc/* | /proc/* | /sys/* | /dev/* | /run/*) die "the lab cannot live below $LAB" ;;
  esac
}

# with_lock FILE COMMAND...: one at a time on this machine. The lock is not handed on to what outlives the command.
with_lock() {
  local file=$1
  shift
  mkdir -p "$(dirname "$file")"
  (
    flock 9
    "$@"
  ) 9>"$file"
}

# in_parallel FUNCTION ARG...: the function once for each argument, all at once; fails when one of them failed.
in_parallel() {
  local run=$1 argument pid failed=0
  shift
  local pids=()
  for argument in "$@"; do
    "$run" "$argument" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  return "$failed"
}

# write_file FILE < TEXT: as a whole or not at all.
write_file() {
  local part=$1.new.$BASHPID
  cat >"$part"
  mv "$part" "$1"
}
