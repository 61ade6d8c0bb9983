#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds a .deb and a .rpm for each architecture into a directory; run by `make packages`. Two runs on one commit give
# the same bytes: paths are trimmed, and every time is that of the commit (SOURCE_DATE_EPOCH takes its place).
set -euo pipefail

usage="usage: package.sh DIRECTORY [ARCHITECTURE ...]"
out=${1:?$usage}
shift
[ $# -gt 0 ] || set -- amd64 arm64
cd "$(dirname "$0")/.."
go=${GO:-go}

# Prints the version: of the source where a tag says so, else one that sorts before it and names the commit.
version() {
  local source tag
  source=$(sed -n 's/^const Version = "\(.*\)"/\1/p' agent/control/api/version.go)
  tag=$(git describe --exact-match --tags --match 'v*' 2>/dev/null) || tag=
  if [ -z "$tag" ]; then
    echo "$source~$(git log -1 --date=format:%Y%m%d%H%M%S --format='git%cd.%h')"
  elif [ "$tag" = "v$source" ]; then
    echo "$source"
  else
    echo "package: the tag is $tag, but agent/control/api/version.go says $source: make them agree" >&2
    return 1
  fi
}

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
VERSION=${VERSION:-$(version)}
export SOURCE_DATE_EPOCH VERSION

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
nfpm=$work/nfpm
echo "building nfpm $("$go" list -modfile=packaging/tools/go.mod -m -f '{{.Version}}' github.com/goreleaser/nfpm/v2)"
GOFLAGS=-mod=mod "$go" build -modfile=packaging/tools/go.mod -o "$nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm

build() { # ARCHITECTURE DIRECTORY
  local program
  for program in vipd vipctl; do
    GOARCH=$1 CGO_ENABLED=0 "$go" build -trimpath -ldflags '-s -w' -tags "${TAGS:?}" -o "$2/$program" "./cmd/$program"
  done
}

# Debian wants a changelog of the package beside vipd's own.
export CHANGES=$work/changelog.Debian.gz
{
  printf 'vipd (%s-1) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n' "$VERSION"
  printf ' -- The vipd developers <vipd@packages.invalid>  %s\n' "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -n -9 >"$CHANGES"

mkdir -p "$out"
# The completion scripts are printed by a vipctl that runs here.
build "$("$go" env GOHOSTARCH)" "$work/host"
for ARCH in "$@"; do
  export ARCH STAGE=$work/$ARCH/root
  build "$ARCH" "$work/$ARCH/bin"
  DESTDIR=$STAGE PREFIX=/usr SYSCONFDIR=/etc VIPCTL=$work/host/vipctl packaging/install.sh "$work/$ARCH/bin"
  rmdir "$STAGE/etc/vipd" "$STAGE/etc"
  find "$STAGE/usr/share/man" -type f -exec gzip -n -9 {} +
  find "$STAGE" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  for packager in deb rpm; do
    "$nfpm" package --config packaging/nfpm.yaml --packager "$packager" --target "$out/"
  done
done
