# shellcheck shell=bash
# Writes .lab/lab.json, which tells the tests all they need. Private to root: it holds the keys of the S3 server.

describe_lab() (
  umask 077
  write_file "$LAB/lab.json" <<END
{
  "version": 1,
  "directory": "$LAB",
  "incus": {
    "6.0": $(describe_generation 6.0),
    "7.0": $(describe_generation 7.0)
  },
  "kopia": $(describe_kopia),
  "s3": $(describe_s3),
  "sftp": {
    "host": "$(sftp_address)",
    "port": $SFTP_PORT,
    "user": "root",
    "keyFile": "$LAB/sftp/client-key",
    "knownHostsFile": "$LAB/sftp/known-hosts",
    "path": "$LAB/sftp/files"
  }
}
END
)

# The hosts of one generation, and nothing else.
describe_hosts() (
  umask 077
  write_file "$LAB/lab.json" <<END
{ "version": 1, "directory": "$LAB", "incus": { "${GENERATIONS[0]}": $(describe_generation "${GENERATIONS[0]}") } }
END
)

describe_generation() {
  cat <<END
{
      "version": "$(cat "$(root_of "$1")/.version")",
      "source": $(describe_daemon "$1" source),
      "target": $(describe_daemon "$1" target)
    }
END
}

# storageDir is where the machine sees the pools: inside the daemon's namespace, through its keeper. The members of a cluster
# share one certificate.
describe_daemon() {
  local name=$1-$2 directory keeper certificate
  directory=$(incus_dir "$1" "$2") keeper=$(keeper_of "$name")
  certificate=$directory/cluster.crt
  [ -e "$certificate" ] || certificate=$directory/server.crt
  cat <<END
{
        "url": "https://$(address_of "$1" "$2"):$HTTPS_PORT",
        "socket": "$directory/unix.socket",
        "certificate": "$certificate",
        "incusDir": "$directory",
        "storageDir": "/proc/$keeper/root$directory/storage-pools",
        "pools": { "btrfs": "local", "btrfs2": "tank", "dir": "plain" },
        "networks": [$([ "$2" != source ] || echo "\"$SOURCE_NETWORK\"")],
        "client": "$LAB/client/incus-$name",
        "keeperPid": $keeper
      }
END
}

# A program that could not be had is named with the reason, and whoever needs it fails with that.
describe_kopia() {
  if [ -x "$(tool_path kopia)" ]; then
    echo "{ \"path\": \"$(tool_path kopia)\", \"version\": \"$(version_of kopia)\" }"
  else
    echo "{ \"missing\": \"$(cat "$STATE/missing-kopia")\" }"
  fi
}

describe_s3() {
  if [ ! -x "$(tool_path s3)" ]; then
    echo "{ \"missing\": \"$(cat "$STATE/missing-s3")\" }"
    return
  fi
  local keys
  # shellcheck source=/dev/null
  keys=$(. "$LAB/s3/credentials" && echo "\"accessKey\": \"$ROOT_ACCESS_KEY\", \"secretKey\": \"$ROOT_SECRET_KEY\"")
  cat <<END
{
    "program": "$(tool_path s3)",
    "dataDir": "$LAB/s3/data",
    "plain": { "endpoint": "$(s3_address):$S3_PORT", $keys },
    "tls": { "endpoint": "$(s3_address):$S3_TLS_PORT", $keys, "caFile": "$LAB/s3/ca.pem" }
  }
END
}
