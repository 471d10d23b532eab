# shellcheck shell=bash
# A cluster of two members of one generation: daemons like the others, named <generation>-one and <generation>-two.

MEMBERS=(one two)

# ensure_cluster GENERATION: both members running and joined, with their pools and the image.
ensure_cluster() {
  in_parallel start_daemon "${MEMBERS[@]/#/$1-}"
  is_clustered "$1" one || found_cluster "$1"
  is_clustered "$1" two || join_cluster "$1"
  ensure_image "$1" one
}

is_clustered() { client "$1" "$2" query /1.0/cluster | grep -q '"enabled": true'; }

found_cluster() {
  { preseed "$1" one 2GiB && echo 'cluster: {server_name: one, enabled: true}'; } | client "$1" one admin init --preseed
}

join_cluster() {
  local token
  token=$(client "$1" one cluster add two | tail -n 1)
  client "$1" two admin init --preseed <<END
cluster:
  enabled: true
  server_address: "$(address_of "$1" two):$HTTPS_PORT"
  cluster_token: $token
  member_config:
  - {entity: storage-pool, name: local, key: size, value: 2GiB}
  - {entity: storage-pool, name: tank, key: size, value: 2GiB}
END
}

# end_cluster GENERATION: as if it had never been. lab/down ends it just as well.
end_cluster() {
  local member folder
  for member in "${MEMBERS[@]}"; do
    folder=$(incus_dir "$1" "$member")
    end_keeper "$1-$member"
    end_loops "$folder"
    rm -rf --one-file-system "$folder" "$STATE/$1-$member" "$LAB/client/"{"incus-$1-$member","$1-$member"}
  done
}

describe_cluster() { echo "[$(describe_daemon "$1" one), $(describe_daemon "$1" two)]"; }
