# shellcheck shell=bash
# The four Incus daemons. Each is named <generation>-<side>, for example 6.0-source. The members of a cluster stand in
# their sides' place: cluster.sh has them.

incus_dir() { echo "$LAB/$1/$2"; }

address_of() {
  case $1-$2 in
    6.0-source) echo "$NET.1" ;;
    6.0-target) echo "$NET.2" ;;
    7.0-source) echo "$NET.3" ;;
    7.0-target) echo "$NET.4" ;;
    6.0-one) echo "$NET.11" ;;
    6.0-two) echo "$NET.12" ;;
    7.0-one) echo "$NET.13" ;;
    7.0-two) echo "$NET.14" ;;
  esac
}

# ensure_daemon <generation>-<side>: running, answering, with its pools and its image.
ensure_daemon() {
  start_daemon "$1"
  initialise "${1%-*}" "${1#*-}"
}

# start_daemon <generation>-<side>: running, and answering.
start_daemon() {
  local generation=${1%-*} side=${1#*-} name=$1
  INCUS_DIR=$(incus_dir "$generation" "$side")
  ensure_keeper "$name" "$(root_of "$generation")" "$INCUS_DIR" "$LOGS/$name"
  daemon_of "$name" >/dev/null || run_inside "$name" \
    /usr/libexec/incus/incusd --group root --verbose --logfile "$LOGS/$name/incusd.log"
  write_client "$generation" "$side"
  client "$generation" "$side" admin waitready --timeout 60 || die "Incus $name does not answer: see $LOGS/$name/incusd.log"
}

# A daemon's command line client, as a program of its own: it needs neither the namespace nor libraries of the machine.
write_client() {
  local root directory file
  root=$(root_of "$1") directory=$(incus_dir "$1" "$2") file=$LAB/client/incus-$1-$2
  mkdir -p "$LAB/client/$1-$2"
  # A client without a settings file greets its user at every call.
  [ -e "$LAB/client/$1-$2/config.yml" ] || echo "default-remote: local" >"$LAB/client/$1-$2/config.yml"
  write_file "$file" <<END
#!/bin/sh
export INCUS_DIR=$directory INCUS_CONF=$LAB/client/$1-$2
exec $root/lib64/ld-linux-x86-64.so.2 --library-path $root/usr/lib/x86_64-linux-gnu $root/usr/bin/incus "\$@"
END
  chmod 755 "$file"
}

client() {
  local generation=$1 side=$2
  shift 2
  "$LAB/client/incus-$generation-$side" "$@" 9>&-
}

# The pools have no size to speak of until they are written to: the loop files are sparse.
initialise() {
  local generation=$1 side=$2
  if ! client "$generation" "$side" query /1.0/profiles/default 2>/dev/null | grep -q '"pool"'; then
    preseed "$generation" "$side" 6GiB | client "$generation" "$side" admin init --preseed
  fi
  ensure_image "$generation" "$side"
  [ "$side" = target ] || ensure_network "$generation"
}

# preseed GENERATION SIDE SIZE: what every new daemon begins with; the size is that of its btrfs pools.
preseed() {
  cat <<END
config:
  core.https_address: "$(address_of "$1" "$2"):$HTTPS_PORT"
  images.auto_update_interval: "0"
storage_pools:
- {name: local, driver: btrfs, config: {size: $3}}
- {name: tank, driver: btrfs, config: {size: $3}}
- {name: plain, driver: dir}
profiles:
- name: default
  devices:
    root: {type: disk, path: /, pool: local}
END
}

ensure_image() {
  client "$1" "$2" query /1.0/images/aliases/tiny >/dev/null 2>&1 ||
    client "$1" "$2" image import "$LAB/tiny.tar.gz" --alias tiny >/dev/null
}

# A managed network that the source has and the target lacks. Not of the type "bridge": all daemons share the machine's
# network, so the target would see the source's bridge as an unmanaged one of that name.
SOURCE_NETWORK=lan0

ensure_network() {
  client "$1" source query "/1.0/networks/$SOURCE_NETWORK" >/dev/null 2>&1 ||
    client "$1" source network create "$SOURCE_NETWORK" --type=macvlan parent="$PARENT" >/dev/null
}

# The network stands on this bridge, which leads nowhere. It is the one thing of the lab that is seen on the machine
# itself, so its name is the lab's own.
PARENT=iab-$LAB_ID

ensure_parent() {
  [ -e "/sys/class/net/$PARENT" ] || ip link add name "$PARENT" type bridge
  ip link set dev "$PARENT" up
}

# stop_daemon NAME: at once, as a crash would; its containers and mounts stay.
stop_daemon() {
  local pid
  pid=$(daemon_of "$1") || return 0
  kill -KILL "$pid" 2>/dev/null || true
  await 10 daemon_is_gone "$1" || die "process $pid of $1 does not end"
}

daemon_is_gone() { ! daemon_of "$1" >/dev/null; }
