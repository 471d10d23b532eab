# shellcheck shell=bash
# A container image of about 1 MB: busybox alone, with an init that waits to be stopped.

BUSYBOX_COMMANDS=(sh ls cat echo mkdir rm mv cp touch dd sync sleep ps mount umount find md5sum sha256sum stat date hostname kill
  true false head tail tr wc tar chmod chown ln)

# tiny_image BUSYBOX OUT.tar.gz
tiny_image() {
  [ -s "$2" ] && return
  local work root applet
  work=$(mktemp -d "$LAB/image.XXXXXX")
  root=$work/rootfs
  mkdir -p "$root"/{bin,sbin,etc,proc,sys,dev,tmp,root,data,var,run}
  cp "$1" "$root/bin/busybox"
  for applet in "${BUSYBOX_COMMANDS[@]}"; do ln -s busybox "$root/bin/$applet"; done
  cat >"$root/sbin/init" <<'END'
#!/bin/sh
trap 'exit 0' TERM PWR INT
while :; do sleep 3600 & wait $!; done
END
  chmod 755 "$root/sbin/init"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
  cat >"$work/metadata.yaml" <<'END'
architecture: x86_64
creation_date: 1700000000
properties:
  description: busybox alone
  os: busybox
  release: lab
END
  tar -C "$work" --owner=0 --group=0 --numeric-owner -czf "$2.part" metadata.yaml rootfs
  mv "$2.part" "$2"
  rm -rf "$work"
}
