#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds a .deb and a .rpm for each architecture into a directory; run by `make packages`. Two runs on one commit give
# the same bytes: every time is that of the commit.
set -euo pipefail
umask 022

usage="usage: package.sh DIRECTORY [ARCHITECTURE ...]"
out=${1:?$usage}
shift
[ $# -gt 0 ] || set -- amd64 arm64
cd "$(dirname "$0")/.."
go=${GO:-go}
stamp=$(packaging/build.sh --env)
eval "$stamp"
export VERSION SOURCE_DATE_EPOCH
: "${SOURCE_DATE_EPOCH:?not a git clone: set it to the time of the release, in seconds since 1970}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packaging/tools/build.sh "$work" \
  ./licences github.com/goreleaser/nfpm/v2/cmd/nfpm
export LICENCES=$work/THIRD-PARTY-LICENSES
GOFLAGS=-tags=$TAGS "$work/licences" . ./cmd/vipd ./cmd/vipctl >"$LICENCES"

# Debian wants a changelog of the package beside vipd's own.
export CHANGES=$work/changelog.Debian.gz
{
  printf 'vipd (%s-1) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n' "$VERSION"
  printf ' -- The vipd developers <vipd@packages.invalid>  %s\n' "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -n -9 >"$CHANGES"

mkdir -p "$out"
# The completion scripts are printed by a vipctl that runs here.
packaging/build.sh "$work/host" "$("$go" env GOHOSTARCH)"
for ARCH in "$@"; do
  export ARCH STAGE=$work/$ARCH/root
  packaging/build.sh "$work/$ARCH/bin" "$ARCH" -s -w
  DESTDIR=$STAGE PREFIX=/usr SYSCONFDIR=/etc VIPCTL=$work/host/vipctl packaging/install.sh "$work/$ARCH/bin"
  rmdir "$STAGE/etc/vipd" "$STAGE/etc"
  find "$STAGE/usr/share/man" -type f -exec gzip -n -9 {} +
  find "$STAGE" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  for packager in deb rpm; do
    "$work/nfpm" package --config packaging/nfpm.yaml --packager "$packager" --target "$out/"
  done
done
