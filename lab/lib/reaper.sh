# shellcheck shell=bash
# Ends everything that belongs to this lab, found by its folder and never by a program's name.

# processes_with VARIABLE=VALUE: the numbers of those that have it in their environment.
processes_with() {
  grep --files-with-matches --null-data --line-regexp --fixed-strings --no-messages "$1" /proc/[0-9]*/environ | cut -d/ -f3
}

# This lab's processes, but for this one and those that wait for it.
processes_of_lab() {
  local pid
  processes_with "IAB_LAB_MARK=$MARK" | while read -r pid; do
    case " $OWN_ANCESTORS " in *" $pid "*) ;; *) echo "$pid" ;; esac
  done
}

ancestors() {
  local pid=$$ list=$BASHPID
  while [ "${pid:-0}" -gt 1 ]; do
    list="$list $pid"
    pid=$(sed -n 's/^PPid:\t//p' "/proc/$pid/status" 2>/dev/null)
  done
  echo "$list"
}

# The first process of a namespace takes the whole of it along, containers and mounts too.
end_processes() {
  OWN_ANCESTORS=$(ancestors)
  await 20 no_process_left || die "processes of the lab do not end: $(processes_of_lab | tr '\n' ' ')"
}

no_process_left() {
  local pids
  mapfile -t pids < <(processes_of_lab)
  [ ${#pids[@]} -gt 0 ] || return 0
  kill -KILL "${pids[@]}" 2>/dev/null
  return 1
}

# end_loops FOLDER: the loop devices of the files below it. The kernel lets go of them when the last mount of a namespace is
# gone, a moment after its processes.
end_loops() {
  await 10 no_loop_left "$1" && return
  local device
  for device in $(loops_below "$1"); do losetup --detach "$device"; done
  await 10 no_loop_left "$1" || die "loop devices of the lab stay: $(loops_below "$1" | tr '\n' ' ')"
}

loops_below() {
  local file device
  for file in /sys/block/loop*/loop/backing_file; do
    case $(cat "$file" 2>/dev/null) in
      "$1"/*) device=${file#/sys/block/} && echo "/dev/${device%%/*}" ;;
    esac
  done
}

no_loop_left() { [ -z "$(loops_below "$1")" ]; }

end_network() {
  local device
  for device in /sys/class/net/iab*-"$LAB_ID"; do
    [ ! -e "$device" ] || ip link delete "${device##*/}"
  done
}

# Nothing is mounted in the machine's own namespace: this is for what a person mounted by hand.
end_mounts() {
  local folder
  awk -v lab="$LAB/" 'index($5, lab) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r folder; do
    umount --lazy "$folder"
  done
}
