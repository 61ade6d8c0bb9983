#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds vipd and vipctl into a directory, stamped with version, commit and time of the commit; `make build`, the
# packages and the image all use it. The same commit gives the same bytes, in whatever directory.
# --env prints the stamp and the build tags as assignments for a shell. VERSION and SOURCE_DATE_EPOCH of the environment
# take precedence.
set -euo pipefail

go=${GO:-go}
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# urfave_cli_no_docs leaves the libraries for manual pages out of the binaries; see vipctl/manpage.
tags=urfave_cli_no_docs

# Also for root in a user's clone, as in `sudo make install`.
commits() { git -C "$source" -c safe.directory="$source" "$@" 2>/dev/null; }

# Prints the version: that of the source where a tag says so, else one that sorts before it and names the commit.
version() {
  local released tag
  released=$(sed -n 's/^var Version = "\(.*\)"/\1/p' "$source/agent/control/api/version.go")
  tag=$(commits describe --exact-match --tags --match 'v*') || tag=
  if [ -z "$COMMIT" ]; then
    echo "$released"
  elif [ -z "$tag" ]; then
    echo "$released~$(TZ=UTC commits log -1 --date=format-local:%Y%m%d%H%M%S --format='git%cd.%h' --abbrev=12)"
  elif [ "$tag" = "v$released" ]; then
    echo "$released"
  else
    echo "build: the tag is $tag, but agent/control/api/version.go has $released: make them agree" >&2
    return 1
  fi
}

# Without git, or in a source archive, there is no commit: SOURCE_DATE_EPOCH takes its place.
COMMIT=$(commits rev-parse --short=12 HEAD) || COMMIT=
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$([ -z "$COMMIT" ] || commits log -1 --format=%ct)}
VERSION=${VERSION:-$(version)}
export COMMIT SOURCE_DATE_EPOCH VERSION

# Prints the linker's flags that set the variables of agent/control/api/version.go.
stamp() {
  local commit=$COMMIT built=
  if [ -n "$COMMIT" ] && ! commits diff --quiet HEAD; then commit+=-modified; fi
  if [ -n "$SOURCE_DATE_EPOCH" ]; then built=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ); fi
  printf -- "-X vipd/agent/control/api.%s " "Version=$VERSION" "commit=$commit" "built=$built"
}

usage="usage: build.sh --env | build.sh DIRECTORY [ARCHITECTURE] [LINKER FLAG ...]"
if [ "${1:?$usage}" = --env ]; then
  printf 'VERSION=%q COMMIT=%q SOURCE_DATE_EPOCH=%q TAGS=%q\n' "$VERSION" "$COMMIT" "$SOURCE_DATE_EPOCH" "$tags"
  exit
fi
umask 022
mkdir -p "$1"
out=$(cd "$1" && pwd)
arch=${2:-$("$go" env GOARCH)}
flags="$(stamp)${*:3}"
cd "$source"
# Nothing of the caller's environment ends up in the bytes, nor how the source was fetched (Go's own stamp).
GOFLAGS='' GOEXPERIMENT='' GOOS=linux GOARCH=$arch GOAMD64=v1 GOARM64=v8.0 CGO_ENABLED=0 "$go" build \
  -trimpath -buildvcs=false -ldflags "$flags" -tags "$tags" -o "$out/" ./cmd/vipd ./cmd/vipctl
