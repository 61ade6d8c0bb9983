#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes the OCI image for amd64 and arm64 as one archive into a directory, without a container engine; run by
# `make image`. Its files: the two static binaries, the reference config and the licences. No shell, nothing else.
set -euo pipefail
umask 022

out=$(realpath -m "${1:?usage: image.sh DIRECTORY}")
cd "$(dirname "$0")/.."
stamp=$(packaging/build.sh --env)
eval "$stamp"
export VERSION SOURCE_DATE_EPOCH
: "${SOURCE_DATE_EPOCH:?not a git clone: set it to the time of the release, in seconds since 1970}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packaging/tools/build.sh "$work" ./image ./licences

roots=()
for arch in amd64 arm64; do
  root=$work/$arch
  packaging/build.sh "$work/bin-$arch" "$arch" -s -w
  install -D "$work/bin-$arch/vipd" "$root/usr/sbin/vipd"
  install -D "$work/bin-$arch/vipctl" "$root/usr/bin/vipctl"
  install -D -m 644 packaging/vipd.toml "$root/usr/share/doc/vipd/vipd.toml"
  install -m 644 LICENSE "$root/usr/share/doc/vipd/LICENSE"
  GOARCH=$arch GOFLAGS=-tags=$TAGS "$work/licences" . ./cmd/vipd ./cmd/vipctl \
    >"$root/usr/share/doc/vipd/THIRD-PARTY-LICENSES"
  # A user without root, whose group may read the control socket.
  mkdir "$root/etc"
  printf '%s\n' root:x:0:0::/:/none vipd:x:65532:65532::/:/none >"$root/etc/passwd"
  printf '%s\n' root:x:0: vipd:x:65532: >"$root/etc/group"
  # The mounts of docs/howto/container.md.
  install -d "$root"/{etc,run,var/lib,sys/fs/bpf}/vipd
  roots+=("$arch=$root")
done
mkdir -p "$out"
"$work/image" -version "$VERSION" -commit "$COMMIT" -epoch "$SOURCE_DATE_EPOCH" \
  "$out/vipd-$VERSION.oci.tar" "${roots[@]}"
