# shellcheck shell=bash
# Writes .lab/lab.json, which tells the tests all they need.

describe_lab() {
  {
    echo '{ "version": 1,'
    echo "  \"directory\": \"$LAB\","
    echo '  "incus": {'
    describe_generation 6.0 && echo ','
    describe_generation 7.0
    echo '  }'
    echo '}'
  } | write_file "$LAB/lab.json"
}

describe_generation() {
  printf '    "%s": { "version": "%s",\n' "$1" "$(cat "$CACHE/incus-$1/.version")"
  describe_daemon "$1" source && echo ','
  describe_daemon "$1" target
  printf '    }'
}

# storageDir is where the machine sees the pools: inside the daemon's namespace, through its keeper.
describe_daemon() {
  local generation=$1 side=$2 name=$1-$2 directory
  directory=$(incus_dir "$1" "$2")
  printf '      "%s": {
        "url": "https://%s:%s",
        "socket": "%s/unix.socket",
        "certificate": "%s/server.crt",
        "incusDir": "%s",
        "storageDir": "/proc/%s/root%s/storage-pools",
        "pools": { "btrfs": "local", "btrfs2": "tank", "dir": "plain" },
        "client": "%s/client/incus-%s",
        "pid": %s, "keeperPid": %s
      }' "$side" "$(address_of "$generation" "$side")" "$HTTPS_PORT" "$directory" "$directory" "$directory" \
    "$(keeper_of "$name")" "$directory" "$LAB" "$name" "$(daemon_of "$name")" "$(keeper_of "$name")"
}
