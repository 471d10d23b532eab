# The virtual machine itself: how QEMU is called, how one speaks to it. Sourced by up, down and sh, after common.sh.

DAEMONS=(6.0-source 6.0-target 7.0-source 7.0-target)
# A port for each daemon, the same on both sides of the forward: so one URL serves the host and the guest.
declare -A PORT=([6.0-source]=8461 [6.0-target]=8462 [7.0-source]=8471 [7.0-target]=8472)
# One disk for each zpool, in this order from /dev/vdb on. guest/lab-pools knows the same order.
ZPOOLS=(source60 source60crypt target60 target60crypt source70 source70crypt target70 target70crypt)
ZPOOL_GB=${IAB_ZFS_POOL_GB:-8} # sparse
MEMORY_MB=${IAB_ZFS_MEMORY_MB:-4096}

# KVM where it is the ordinary one; elsewhere software emulation, which needs nothing. QEMU 7.2 gets the guest kernel's
# unlocked cmpxchg16b wrong and dies in it, so the emulated processor does not have that instruction.
accelerator() {
  if [ -n "${IAB_ZFS_ACCEL:-}" ]; then echo "$IAB_ZFS_ACCEL"
  elif [ -w /dev/kvm ] && { [ -d /sys/module/kvm_intel ] || [ -d /sys/module/kvm_amd ]; } && [ ! -d /sys/module/kvm_pvm ]; then echo kvm
  else echo tcg; fi
}
machine_arguments() {
  case $(accelerator) in
    kvm) echo -accel kvm -cpu host ;;
    *) echo -accel tcg,thread=multi,tb-size=512 -cpu max,-cx16 ;;
  esac
  echo -machine q35 -smp 2 -m "$MEMORY_MB" -display none -vga none -nodefaults -no-reboot
}

# qemu FOLDER IMAGE ARGUMENT...: starts the machine whose disks lie in the folder; returns when it runs in the background.
# Disks are thrown away with the machine, so nothing waits for this machine's own disk (cache=unsafe).
qemu() {
  local folder=$1 image=$2 disk forwards="" disks=()
  shift 2
  for disk in root "${ZPOOLS[@]}"; do
    disks+=(-drive "file=$folder/$disk.qcow2,if=virtio,format=qcow2,cache=unsafe,discard=unmap,detect-zeroes=unmap")
  done
  for disk in "${!DAEMONS[@]}"; do
    forwards+=",hostfwd=tcp:$NET.$((disk + 1)):${PORT[${DAEMONS[$disk]}]}-10.0.2.15:${PORT[${DAEMONS[$disk]}]}"
  done
  # shellcheck disable=SC2046
  nice -n "${IAB_ZFS_NICE:-0}" qemu-system-x86_64 -name "lab-zfs $folder" $(machine_arguments) \
    -daemonize -pidfile "$folder/qemu.pid" -serial "file:$folder/console.log" -qmp "unix:$folder/qmp.sock,server=on,wait=off" \
    -kernel "$image/vmlinuz" -initrd "$image/initrd.gz" \
    -append "console=ttyS0 quiet loglevel=4 net.ifnames=0 apparmor=0 audit=0 mitigations=off nowatchdog panic=-1 systemd.show_status=0" \
    "${disks[@]}" \
    -netdev "user,id=net,restrict=on,hostfwd=tcp:$NET.5:2222-10.0.2.15:22$forwards" -device virtio-net-pci,netdev=net,romfile= \
    -device virtio-rng-pci "$@"
}

# The processes of the machine in this folder, by their command line: a pid file could name somebody else's by now.
machine_pids() {
  grep -slzxF -- "lab-zfs $1" /proc/[0-9]*/cmdline | xargs -r grep -slzxF qemu-system-x86_64 | cut -d/ -f3 || true
}

# Kills the machine in this folder and waits until the kernel has forgotten it, so that its ports are free.
kill_machine() {
  local pid
  for pid in $(machine_pids "$1"); do
    kill -KILL "$pid" 2>/dev/null || true
    timeout 20 tail -f -s 0.1 --pid="$pid" /dev/null || die "QEMU, process $pid, does not end"
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

# write_ssh_config FOLDER IMAGE: one connection, kept; a key exchange costs a second under emulation.
write_ssh_config() {
  cat >"$1/ssh_config" <<END
Host guest
  HostName $NET.5
  Port 2222
  User root
  IdentityFile $2/id
  IdentitiesOnly yes
  HostKeyAlias lab-zfs
  UserKnownHostsFile $2/known_hosts
  StrictHostKeyChecking yes
  BatchMode yes
  LogLevel ERROR
  ConnectTimeout 20
  Compression no
  # The quickest of them without hardware help: about 40 MB/s.
  Ciphers aes128-ctr
  MACs umac-64-etm@openssh.com
  ControlPath $1/ssh.sock
  StreamLocalBindUnlink yes
END
}
guest() { ssh -F "$RUN/ssh_config" guest "$@"; }

# await_ssh SECONDS: opens the connection that all others use. It ends when the machine does.
await_ssh() {
  local deadline=$((SECONDS + $1))
  until ssh -F "$RUN/ssh_config" -o ControlMaster=yes -o ControlPersist=yes -o ServerAliveInterval=0 guest true 2>"$RUN/ssh.err" </dev/null; do
    [ -n "$(machine_pids "$RUN")" ] || { tail -n 20 "$RUN/console.log" >&2; return 1; }
    [ $SECONDS -lt $deadline ] || { cat "$RUN/ssh.err" >&2; tail -n 20 "$RUN/console.log" >&2; return 1; }
    sleep 0.5
  done
}
