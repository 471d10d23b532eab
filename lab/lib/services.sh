# shellcheck shell=bash
# The S3 servers (with and without TLS) and the SSH server, all on loopback, in one namespace named "services".

S3_ACCESS_KEY=lab

ensure_services() {
  mkdir -p "$LAB/s3/data" "$LAB/s3/versions" "$LAB/sftp/files" "$LOGS"
  chmod 700 "$LAB/s3" "$LAB/sftp"
  ensure_keeper services "$(root_of 6.0)" "$LAB/s3" "$LAB/sftp" "$CACHE/bin"
  ensure_sftp
  [ ! -x "$(tool_path s3)" ] || ensure_s3
}

s3_address() { echo "$NET.5"; }
sftp_address() { echo "$NET.6"; }

ensure_s3() {
  local folder=$LAB/s3
  [ -e "$folder/credentials" ] || (
    umask 077
    printf 'ROOT_ACCESS_KEY=%s\nROOT_SECRET_KEY=%s\n' "$S3_ACCESS_KEY" "$(random_word)" | write_file "$folder/credentials"
  )
  [ -e "$folder/tls.pem" ] || make_certificate "$folder" "$(s3_address)"
  serve_s3 s3-plain --port "$(s3_address):$S3_PORT"
  serve_s3 s3-tls --port "$(s3_address):$S3_TLS_PORT" --cert "$folder/tls.pem" --key "$folder/tls.key"
  await 20 listens "$S3_PORT" || die "the S3 server does not answer: $(tail -n 3 "$LOGS/s3-plain.log")"
  await 20 listens "$S3_TLS_PORT" || die "the S3 server with TLS does not answer: $(tail -n 3 "$LOGS/s3-tls.log")"
}

# The keys reach the server by a file and its environment, not by its arguments.
serve_s3() {
  local name=$1
  shift
  daemon_of "$name" >/dev/null && return
  # shellcheck disable=SC2016
  run_inside "$name" /bin/sh -c 'set -a; . "$1"; shift; exec "$@"' sh "$LAB/s3/credentials" \
    "$(tool_path s3)" --quiet "$@" posix --versioning-dir "$LAB/s3/versions" "$LAB/s3/data"
}

ensure_sftp() {
  local folder=$LAB/sftp
  [ -e "$folder/host-key" ] || from_root ssh-keygen -q -t ed25519 -N '' -C lab -f "$folder/host-key"
  [ -e "$folder/client-key" ] || from_root ssh-keygen -q -t ed25519 -N '' -C lab -f "$folder/client-key"
  cp "$folder/client-key.pub" "$folder/authorized-keys"
  echo "[$(sftp_address)]:$SFTP_PORT $(cut -d' ' -f1,2 "$folder/host-key.pub")" | write_file "$folder/known-hosts"
  write_file "$folder/sshd-config" <<END
ListenAddress $(sftp_address):$SFTP_PORT
HostKey $folder/host-key
AuthorizedKeysFile $folder/authorized-keys
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
END
  daemon_of sftp >/dev/null || run_inside sftp /usr/sbin/sshd -D -e -f "$folder/sshd-config"
  await 20 listens "$SFTP_PORT" || die "the SSH server does not answer: $(tail -n 3 "$LOGS/sftp.log")"
}

listens() {
  awk -v net="$(loopback_in_hexadecimal)" -v port="$(printf ':%04X' "$1")" '
    $4 == "0A" && substr($2, 3, 6) == net && substr($2, 9) == port { found = 1 } END { exit !found }' /proc/net/tcp
}

# The kernel writes addresses backwards and in hexadecimal.
loopback_in_hexadecimal() {
  local second third
  IFS=. read -r _ second third <<<"$NET"
  printf '%02X%02X7F' "$third" "$second"
}

random_word() { od -An -N20 -tx1 /dev/urandom | tr -d ' \n'; }

# A program of the private root, run on the machine: nothing has to be installed for it.
from_root() {
  local root program=$1
  root=$(root_of 6.0)
  shift
  OPENSSL_CONF=/dev/null "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/$program" "$@"
}

# make_certificate FOLDER ADDRESS: a private authority (ca.pem) and a server certificate of its making (tls.pem, tls.key).
make_certificate() {
  local folder=$1 curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650)
  (
    umask 077
    from_root openssl req -x509 "${curve[@]}" -subj "/CN=lab authority" -addext basicConstraints=critical,CA:TRUE \
      -addext keyUsage=critical,keyCertSign -keyout "$folder/ca.key" -out "$folder/ca.pem"
    from_root openssl req -x509 "${curve[@]}" -subj "/CN=lab s3" -addext "subjectAltName=IP:$2,DNS:localhost" \
      -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth \
      -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -keyout "$folder/tls.key" -out "$folder/tls.pem"
  ) 2>"$LOGS/certificate.log" || die "cannot make a certificate: $(tail -n 1 "$LOGS/certificate.log")"
}
