# shellcheck shell=bash
# Kopia and the S3 server, built from their Go modules. lab/kopia/go.mod and lab/s3/go.mod say which version,
# the go.sum beside each says which bytes.

# The oldest Go that builds both, and the one taken from Debian where the machine has none such.
GO_OLDEST=1.25.8
GO_PACKAGES=(golang-1.26-go golang-1.26-src)

package_of() {
  case $1 in
    kopia) echo github.com/kopia/kopia ;;
    s3) echo github.com/versity/versitygw/cmd/versitygw ;;
  esac
}

version_of() {
  local module
  module=$(package_of "$1")
  sed -n "s#^[[:space:]]*${module%/cmd/*} \(v[^ ]*\).*#\1#p" "$LAB_SOURCE/$1/go.mod"
}

tool_path() { echo "$CACHE/bin/$1-$(version_of "$1")"; }

# build_tool kopia|s3: once for all labs that share the cache.
build_tool() {
  with_lock "$CACHE/build-$1.lock" build_tool_locked "$1"
}

build_tool_locked() {
  local tool=$1 path go log=$LOGS/build-$1.log started=$SECONDS work
  path=$(tool_path "$tool")
  [ ! -x "$path" ] || return 0
  say "$(package_of "$tool") $(version_of "$tool"): building it from its Go module"
  go=$(find_go) || fail_build "$tool" "no Go $GO_OLDEST or newer, on this machine or from Debian" || return 1
  work=$CACHE/build-$tool
  mkdir -p "$work" "$CACHE/bin"
  (
    cd "$LAB_SOURCE/$tool"
    env -u GOROOT GOPATH="$work/path" GOCACHE="$work/cache" GOTMPDIR="$work" GOTOOLCHAIN=local GOFLAGS=-modcacherw CGO_ENABLED=0 \
      "$go" build -mod=readonly -trimpath -ldflags='-s -w' -o "$path.part" "$(package_of "$tool")"
  ) >>"$log" 2>&1 9>&- || fail_build "$tool" "$(tail -n 1 "$log")" || return 1
  mv "$path.part" "$path"
  rm -rf "$work"
  say "$(package_of "$tool"): built in $((SECONDS - started)) s"
}

# Leaves the reason where describe_lab and the tests find it.
fail_build() {
  mkdir -p "$STATE"
  printf '%s' "$2" | tr '"\\\n\t' "'/  " >"$STATE/missing-$1"
  say "cannot build $(package_of "$1"): $2 (log $LOGS/build-$1.log)"
  return 1
}

# Prints a go program that is new enough.
find_go() {
  local go
  if go=$(command -v go) && is_new_enough "$go"; then
    echo "$go"
    return
  fi
  with_lock "$CACHE/go.lock" unpack_go
}

is_new_enough() {
  local version
  version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
  printf '%s\n' "$GO_OLDEST" "${version#go}" | sort --version-sort --check=quiet
}

unpack_go() {
  local root=$CACHE/go file files
  if [ ! -e "$root/.complete" ]; then
    say "Go: taking it from Debian's packages, for the lab only"
    rm -rf "$root"
    mkdir -p "$root"
    files=$(with_lock "$CACHE/apt.lock" download_packages trixie,trixie-backports "" "${GO_PACKAGES[@]}" 2>"$LOGS/packages-go.log") || return 1
    for file in $files; do
      case $file in golang-*) dpkg-deb --extract "$CACHE/debs/$file" "$root" || return 1 ;; esac
    done
    touch "$root/.complete"
  fi
  echo "$root"/usr/lib/go-*/bin/go
}
