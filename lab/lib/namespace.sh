# shellcheck shell=bash
# One namespace for each daemon, held by its first process (the keeper), whose number is in $STATE/<name>/keeper.

# is_ours PID: a number in a file may by now name somebody else's process.
is_ours() {
  [ -n "${1:-}" ] && grep --quiet --null-data --line-regexp --fixed-strings --no-messages "IAB_LAB_MARK=$MARK" "/proc/$1/environ"
}

keeper_of() {
  local pid
  pid=$(cat "$STATE/$1/keeper" 2>/dev/null) && is_ours "$pid" && echo "$pid"
}

# ensure_keeper NAME ROOT FOLDER...
ensure_keeper() {
  local name=$1 root=$2
  shift 2
  has_its_root "$name" && return
  end_keeper "$name"
  mkdir -p "$STATE/$name" "$@"
  rm -f "$STATE/$name/keeper" "$STATE/$name/daemon"
  IAB_LAB_MARK=$MARK IAB_LAB_DIR=$LAB setsid unshare --mount --pid --fork --kill-child --propagation private \
    "$LAB_SOURCE/lib/namespace-init" "$MARK" "$root" "$STATE/$name/keeper" "$STATE/$name" "$@" \
    </dev/null >"$LOGS/$name-namespace.log" 2>&1 9>&- &
  disown
  await 10 keeper_of "$name" >/dev/null || die "cannot make the namespace of $name: $(tail -n 3 "$LOGS/$name-namespace.log")"
}

# Somebody may have emptied the cache under a running lab.
has_its_root() {
  local keeper
  keeper=$(keeper_of "$1") && [ -x "/proc/$keeper/root/usr/bin/env" ]
}

end_keeper() {
  local keeper
  keeper=$(keeper_of "$1") || return 0
  kill -KILL "$keeper" 2>/dev/null || true
  await 10 keeper_is_gone "$1" || die "the namespace of $1 (process $keeper) does not end"
}

keeper_is_gone() { ! keeper_of "$1" >/dev/null; }

# run_inside NAME COMMAND...: starts a process that stays, in the namespace that is its home, and writes the number by
# which the machine knows it to $STATE/NAME/daemon.
run_inside() {
  local name=$1 log=$LOGS/$1.log keeper
  keeper=$(keeper_of "$(home_of "$1")") || die "the namespace of $1 is gone: run lab/up"
  shift
  mkdir -p "$STATE/$name"
  rm -f "$STATE/$name/daemon"
  # shellcheck disable=SC2016
  env -i IAB_LAB_MARK="$MARK" INCUS_DIR="${INCUS_DIR:-}" HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    setsid nsenter --target "$keeper" --mount --pid -- /bin/sh -c '
      read -r pid rest </proc/self/fd/7/self/stat
      echo "$pid" >/proc/self/fd/8
      ulimit -n 1048576 2>/dev/null
      exec "$@" 7<&- 8>&-' sh "$@" \
    </dev/null >>"$log" 2>&1 7</proc 8>"$STATE/$name/daemon" 9>&- &
  disown
  await 10 daemon_of "$name" >/dev/null || die "cannot start $name: $(tail -n 3 "$log")"
}

# The number of a running daemon: a process of that number which lives in the namespace that is its home.
daemon_of() {
  local pid keeper
  keeper=$(keeper_of "$(home_of "$1")") && pid=$(cat "$STATE/$1/daemon" 2>/dev/null) && [ -n "$pid" ] || return 1
  [ "/proc/$pid/ns/pid" -ef "/proc/$keeper/ns/pid" ] && echo "$pid"
}

home_of() {
  case $1 in
    s3-* | sftp) echo services ;;
    *) echo "$1" ;;
  esac
}

# await SECONDS COMMAND...: tries until it succeeds.
await() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.05
  done
}
