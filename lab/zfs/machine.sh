# The machine itself: how its kernel is started, how one speaks to it. Sourced by up and down, after common.sh.

DAEMONS=(6.0-source 6.0-target 7.0-source 7.0-target)
# A port for each daemon, the same on this machine and in the guest: so one URL serves both.
declare -A PORT=([6.0-source]=8461 [6.0-target]=8462 [7.0-source]=8471 [7.0-target]=8472)
# One disk for each zpool, in this order from /dev/ubdb on. guest/lab-setup knows the same order.
ZPOOLS=(source60 source60crypt target60 target60crypt source70 source70crypt target70 target70crypt)
ZPOOL_GB=${IAB_ZFS_POOL_GB:-8} # sparse
MEMORY_MB=${IAB_ZFS_MEMORY_MB:-4096}
# A word of every process of this machine: a pid file could name somebody else's by now.
MARK=lab-zfs=$RUN

# boot KERNEL IMAGE: starts the machine whose disks lie in RUN; returns when what listens for it listens.
boot() {
  local kernel=$1 image=$2 name addresses=() inside=()
  MEMORY_MB=$MEMORY_MB setsid nice -n "${IAB_ZFS_NICE:-0}" unshare --net --mount --pid --fork --kill-child \
    "$ZFS_SRC/boot" "$kernel/root" "$image" "$RUN" "$MARK" "${ZPOOLS[@]}" </dev/null > >(exec cat >"$RUN/console.log" 2>/dev/null) 2>&1 &
  MACHINE=$!
  for name in "${!DAEMONS[@]}"; do
    addresses+=("$NET.$((name + 1)):${PORT[${DAEMONS[$name]}]}")
    inside+=("10.0.2.15:${PORT[${DAEMONS[$name]}]}")
  done
  # Its network namespace is there once another process than this one's is seen.
  until [ "$(readlink "/proc/$MACHINE/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do
    is_alive || die "the machine does not start: $(tail -n 5 "$RUN/console.log")"
    sleep 0.05
  done
  relay nsenter -t "$MACHINE" -n -- node "$ZFS_SRC/relay.mjs" inside "$MARK" "${inside[@]}" 10.0.2.15:2222
  relay node "$ZFS_SRC/relay.mjs" outside "$MARK" "${addresses[@]}" "$NET.5:2222"
  until (: <>"/dev/tcp/$NET.5/2222") 2>/dev/null; do
    is_alive || die "the machine does not start: $(tail -n 5 "$RUN/console.log")"
    [ -n "$(machine_pids node)" ] || die "the relay does not start: $(cat "$RUN/relay.log")"
    sleep 0.05
  done
}

relay() { setsid "$@" >>"$RUN/relay.log" 2>&1 </dev/null & }

# Whether the machine that boot has started still runs.
is_alive() { kill -0 "$MACHINE" 2>/dev/null; }

# machine_pids [WORD]: the processes of this lab's machine, by their command line; those with that word in it. Written as a
# pattern, the mark is none of grep's own.
machine_pids() {
  grep -slzx -- "[l]ab-zfs=$RUN" /proc/[0-9]*/cmdline | xargs -r grep -slzx -- "${1:-.*}" | cut -d/ -f3 || true
}

# Waits up to a minute for a guest that shuts itself down.
await_end() {
  for _ in $(seq 600); do
    is_alive || return 0
    sleep 0.1
  done
  return 1
}

# Kills the machine and waits until the kernel has forgotten it, so that its ports are free.
kill_machine() {
  local pid
  for pid in $(machine_pids); do kill -KILL "$pid" 2>/dev/null || true; done
  for pid in $(machine_pids); do
    timeout 20 tail -f -s 0.1 --pid="$pid" /dev/null || die "the machine's process $pid does not end"
  done
}

# Looks for a /24 of the loopback network on which nobody listens. 127.100 to 127.199 belong to the ordinary lab.
find_net() {
  local hash second third tries
  hash=$(printf '%s' "$RUN" | cksum | cut -d' ' -f1)
  for tries in $(seq 0 249); do
    second=$((200 + hash % 50)) third=$(((hash / 50 + tries) % 250))
    # The kernel writes addresses backwards and in hexadecimal; 0A is "listening".
    awk -v net="$(printf '%02X%02X7F' $third $second)" '$4 == "0A" && substr($2, 3, 6) == net { taken = 1 } END { exit taken }' \
      /proc/net/tcp && { NET=127.$second.$third && return; }
  done
  die "no free loopback network in 127.$second"
}

# write_ssh_config IMAGE: one connection, kept.
write_ssh_config() {
  cat >"$RUN/ssh_config" <<END
Host guest
  HostName $NET.5
  Port 2222
  User root
  IdentityFile $1/id
  IdentitiesOnly yes
  HostKeyAlias lab-zfs
  UserKnownHostsFile $1/known_hosts
  StrictHostKeyChecking yes
  BatchMode yes
  LogLevel ERROR
  ConnectTimeout 20
  Compression no
  Ciphers aes128-gcm@openssh.com
  ControlPath $RUN/ssh.sock
  StreamLocalBindUnlink yes
END
}
guest() { ssh -F "$RUN/ssh_config" guest "$@"; }

# await_ssh SECONDS: opens the connection that all others use. It ends when the machine does.
await_ssh() {
  local deadline=$((SECONDS + $1))
  until ssh -F "$RUN/ssh_config" -o ControlMaster=yes -o ControlPersist=yes -o ServerAliveInterval=0 guest true 2>"$RUN/ssh.err" </dev/null; do
    is_alive || { tail -n 20 "$RUN/console.log" >&2; return 1; }
    [ $SECONDS -lt $deadline ] || { cat "$RUN/ssh.err" >&2; tail -n 20 "$RUN/console.log" >&2; return 1; }
    sleep 0.5
  done
}
