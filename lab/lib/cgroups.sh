# shellcheck shell=bash
# A control group of the lab's own in every hierarchy, so that the groups of its containers can be removed with it.
# A keeper sits in its leaf "init.scope": LXC makes a container's groups beside the leaf of that name of process 1.

CGROUP=iab-lab-$LAB_ID

# Moves this process. Best effort: a machine may keep its control groups to itself.
join_cgroups() {
  local line lines hierarchy controllers path parent
  mapfile -t lines </proc/self/cgroup
  for line in "${lines[@]}"; do
    IFS=: read -r hierarchy controllers path <<<"$line"
    parent=$(cgroup_mount "$hierarchy" "$controllers") || continue
    [ "$hierarchy" = 0 ] || parent=$parent${path%/}
    join_cgroup "$parent/$CGROUP" 2>/dev/null || true
  done
}

cgroup_mount() {
  local folder
  for folder in "/sys/fs/cgroup/${2#name=}" /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ "$1" = 0 ] && [ ! -e "$folder/cgroup.controllers" ] && continue
    [ -e "$folder/cgroup.procs" ] && echo "$folder" && return
  done
  return 1
}

# A group of the old cpuset hierarchy takes no process before it has processors and memory.
join_cgroup() {
  local group file
  for group in "$1" "$1/init.scope"; do
    mkdir -p "$group"
    for file in cpuset.cpus cpuset.mems; do
      [ ! -e "$1/cpuset.sched_load_balance" ] || cat "$(dirname "$group")/$file" >"$group/$file"
    done
  done
  # In here the number would be that of another namespace; 0 is whoever writes.
  echo 0 >"$1/init.scope/cgroup.procs"
}

groups_of_lab() { find /sys/fs/cgroup -maxdepth 5 -type d -name "$CGROUP" 2>/dev/null; }

# Who is frozen does not die before he thaws.
thaw_containers() {
  local group file
  groups_of_lab | while read -r group; do
    find "$group" -name freezer.state 2>/dev/null | while read -r file; do echo THAWED >"$file" || true; done
    find "$group" -name cgroup.freeze 2>/dev/null | while read -r file; do echo 0 >"$file" || true; done
  done 2>/dev/null
}

remove_cgroups() {
  local group
  groups_of_lab | while read -r group; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}
