# shellcheck shell=bash
# Private roots made of Debian's packages: resolved by apt against an empty system, unpacked, never installed.
# Nothing of the machine's own packages is read or changed.

# What Debian takes for granted in every system, and what the daemons run.
ROOT_PACKAGES=(base-files base-passwd bash btrfs-progs busybox-static coreutils dash e2fsprogs findutils
  grep gzip hostname incus-base incus-client iproute2 mount openssh-client openssh-server openssl procps rsync sed tar
  util-linux xz-utils)

# Where the root of a generation lies. Another recipe makes another root: a running lab may still stand on the old one.
RECIPE=$(cksum <"${BASH_SOURCE[0]}" | cut -d' ' -f1)
root_of() { echo "$CACHE/incus-$1-$RECIPE"; }

debian_mirror() {
  local found
  # shellcheck disable=SC2016
  found=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | grep '/debian/*$' | sort -u | head -n 1)
  printf '%s' "${IAB_LAB_MIRROR:-${found:-http://deb.debian.org/debian}}"
}

# The suites that may hold a generation, first choice first.
suites_of() {
  case $1 in
    6.0) echo "trixie" ;;
    7.0) echo "trixie,trixie-backports trixie,sid" ;;
  esac
}

# private_apt SUITES PIN ARG...: apt-get on an empty system that knows the comma separated suites only.
private_apt() {
  local suites=$1 pin=$2 apt=$CACHE/apt/$1
  shift 2
  mkdir -p "$apt/state/lists/partial" "$apt/cache" "$CACHE/debs/partial"
  : >"$apt/status"
  local suite
  for suite in ${suites//,/ }; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_mirror) $suite main"
  done >"$apt/sources.list"
  printf '%b' "$pin" >"$apt/preferences"
  cat >"$apt/apt.conf" <<END
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Cache::archives "$CACHE/debs";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "$apt/preferences";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Update::Post-Invoke "";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Languages "none";
Acquire::Retries "3";
END
  APT_CONFIG=$apt/apt.conf apt-get -q -y -o Dpkg::Use-Pty=0 "$@"
}

# download_packages SUITES PIN PACKAGE...: downloads them with all they depend on and prints the files, one a line.
download_packages() {
  local suites=$1 pin=$2
  shift 2
  private_apt "$suites" "$pin" update >&2 || return 1
  private_apt "$suites" "$pin" --download-only install "$@" >&2 || return 1
  # What is downloaded already is not printed, so it looks at an empty folder here.
  mkdir -p "$CACHE/apt/empty/partial"
  private_apt "$suites" "$pin" -o Dir::Cache::archives="$CACHE/apt/empty" --print-uris install "$@" |
    sed -n "s/^'[^']*' \([^ ]*\) .*/\1/p"
}

# Unpacks the root of a generation into the cache; done at once where it is there already.
ensure_root() {
  with_lock "$CACHE/incus-$1.lock" ensure_root_locked "$1"
}

ensure_root_locked() {
  local generation=$1 root suites
  root=$(root_of "$1")
  if [ ! -e "$root/.complete" ]; then
    say "Incus $generation: taking it and its libraries from Debian's packages"
    for suites in $(suites_of "$generation"); do
      unpack_incus "$generation" "$suites" "$root" && break
      say "Incus $generation is not in $suites"
    done
    [ -e "$root/.complete" ] || die "Debian's packages do not have Incus $generation; the log is $LOGS/packages-$generation.log"
  fi
}

unpack_incus() {
  local generation=$1 suites=$2 root=$3 log=$LOGS/packages-$1.log
  local pin="Package: src:incus\nPin: version $1.*\nPin-Priority: 990\n\nPackage: src:incus\nPin: release *\nPin-Priority: -1\n"
  rm -rf "$root" "$root.part"
  mkdir -p "$root.part"
  local files file
  files=$(with_lock "$CACHE/apt.lock" download_packages "$suites" "$pin" "${ROOT_PACKAGES[@]}" 2>"$log") || return 1
  [ -n "$files" ] || return 1
  for file in $files; do
    dpkg-deb --extract "$CACHE/debs/$file" "$root.part" 2>>"$log" || return 1
  done
  finish_root "$root.part" || return 1
  printf '%s\n' "$files" | sed -n 's/^incus-base_\([0-9.]*\).*/\1/p' >"$root.part/.version"
  touch "$root.part/.complete"
  mv "$root.part" "$root"
}

# What the packages' own scripts would have done and the daemons need.
finish_root() {
  local root=$1
  cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd" || return 1
  cp "$root/usr/share/base-passwd/group.master" "$root/etc/group" || return 1
  echo "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin" >>"$root/etc/passwd"
  echo "hosts: files dns" >"$root/etc/nsswitch.conf"
  printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
  echo "root:1000000:1000000000" | tee "$root/etc/subuid" >"$root/etc/subgid"
  rm -rf "$root"/usr/share/{doc,man,info,locale,lintian} "$root"/var/cache
  ldconfig -r "$root" 2>/dev/null || true
}
