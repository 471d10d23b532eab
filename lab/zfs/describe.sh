# Writes lab.json, which tells the tests all they need; the shape is that of the ordinary lab. Sourced by up.

describe() {
  local image=$1 name
  mkdir -p "$RUN/certificates" "$RUN/client"
  guest 'cd /var/lib && tar -cf - incus-*/server.crt' | tar -C "$RUN/certificates" -xf -
  for name in "${DAEMONS[@]}"; do write_client "$name"; done
  cat <<END
{
  "version": 1,
  "directory": "$LAB",
  "incus": {
    "6.0": { "version": "$(server_version 6.0-source)",
      "source": $(describe_daemon 6.0-source),
      "target": $(describe_daemon 6.0-target) },
    "7.0": { "version": "$(server_version 7.0-source)",
      "source": $(describe_daemon 7.0-source),
      "target": $(describe_daemon 7.0-target) }
  },
  "kopia": "$("$TOP/lab/tool" kopia 9>&-)",
  "ssh": ["ssh", "-F", "$RUN/ssh_config", "guest"],
  "versions": { $(sed -E 's/^([^ ]+) (.*)$/"\1": "\2"/' "$image/versions" | paste -sd,) }
}
END
}

server_version() { guest "incus-$1 query /1.0" | sed -n 's/.*"server_version": *"\([^"]*\)".*/\1/p'; }

# The url is good on this machine and in the guest: what a daemon is told in pull or push mode is what the agent uses.
# incusDir and zpools are the guest's.
describe_daemon() {
  local name=$1 index generation=${1%-*} zpool
  for index in "${!DAEMONS[@]}"; do [ "${DAEMONS[$index]}" = "$name" ] && break; done
  zpool=${name#*-}${generation/./}
  cat <<END
{
        "url": "https://$NET.$((index + 1)):${PORT[$name]}",
        "socket": "$RUN/$name.socket",
        "certificate": "$RUN/certificates/incus-$name/server.crt",
        "incusDir": "/var/lib/incus-$name",
        "pools": { "zfs": "local", "zfsEncrypted": "crypt" },
        "zpools": { "zfs": "$zpool", "zfsEncrypted": "${zpool}crypt" },
        "client": "$RUN/client/incus-$name" }
END
}

# The daemon's own command line client, run in the guest.
write_client() {
  cat >"$RUN/client/incus-$1" <<END
#!/bin/bash
exec ssh -F "$RUN/ssh_config" guest "\$(printf '%q ' incus-$1 "\$@")"
END
  chmod 755 "$RUN/client/incus-$1"
}
