# shellcheck shell=bash
# Addresses on the loopback network for one lab, found once and kept in $STATE/addresses.

# Sets NET (the first three numbers of the address) and the ports HTTPS_PORT, S3_PORT, S3_TLS_PORT, SFTP_PORT.
load_addresses() {
  [ -e "$STATE/addresses" ] || with_lock /run/lock/iab-lab-addresses.lock find_addresses
  # shellcheck source=/dev/null
  . "$STATE/addresses"
}

find_addresses() {
  local hash second third
  hash=$(printf '%s' "$LAB" | cksum | cut -d' ' -f1)
  second=$((100 + hash % 100)) third=$((hash / 100 % 250))
  while net_is_taken "$second" "$third"; do
    third=$(((third + 1) % 250))
  done
  {
    echo "NET=127.$second.$third"
    echo "HTTPS_PORT=$(free_port 8443)"
    echo "S3_PORT=$(free_port 9000)"
    echo "S3_TLS_PORT=$(free_port 9443)"
    echo "SFTP_PORT=$(free_port 2222)"
  } | write_file "$STATE/addresses"
  mkdir -p /run/lock/iab-lab
  echo "$LAB" >"/run/lock/iab-lab/127.$second.$third"
}

# The kernel writes addresses backwards and in hexadecimal. 0A is the state "listening".
net_is_taken() {
  local owner=/run/lock/iab-lab/127.$1.$2
  if [ -e "$owner" ] && [ "$(cat "$owner")" != "$LAB" ] && [ -e "$(cat "$owner")/state/addresses" ]; then return 0; fi
  awk -v net="$(printf '%02X%02X7F' "$2" "$1")" '$4 == "0A" && substr($2, 3, 6) == net { found = 1 } END { exit !found }' /proc/net/tcp
}

# The first port from here on that nobody holds for every address: such a listener takes the loopback ones as well.
free_port() {
  local port=$1
  while awk -v port="$(printf ':%04X' "$port")" '
    $4 == "0A" && $2 ~ /^0+:/ && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }
  ' /proc/net/tcp /proc/net/tcp6 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}
