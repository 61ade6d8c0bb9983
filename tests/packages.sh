#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the packages and an older version of them, builds them again, and tests them (make test-packages): in minimal
# Debian 12 systems with systemd as process 1, which are made once and kept in ~/.cache/vipd-packages.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

say() { echo "test-packages: $*"; }
[ "$(id -u)" = 0 ] || { say "needs root for namespaces and debootstrap: sudo -E make test-packages" >&2; exit 1; }

cache=${PACKAGES_CACHE:-$HOME/.cache/vipd-packages}
base=$cache/bookworm-systemd.tar
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
missing=()
for program in debootstrap lintian rpm; do command -v $program >/dev/null || missing+=("$program"); done
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  timeout 600 env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
fi
if [ -z "$(find "$base" -mtime -30 2>/dev/null)" ]; then
  say "making a minimal Debian 12 with systemd, kept in $base"
  mkdir -p "$cache" "$work/base"
  # shellcheck disable=SC2016 # apt-get expands it
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' 'Origin: Debian' |
    awk '$2 == "bookworm" { print $1; exit }')
  timeout 900 debootstrap --variant=minbase --include=systemd,systemd-sysv,iproute2 bookworm "$work/base" \
    "${mirror:-http://deb.debian.org/debian}" </dev/null
  rm -rf "$work/base/var/cache/apt/archives" "$work/base/var/lib/apt/lists"
  tar -C "$work/base" -cf "$base.new" .
  mv "$base.new" "$base"
fi

arch=$(go env GOHOSTARCH)
VERSION=0.0.9 packaging/package.sh "$work/old" "$arch"
packaging/package.sh "$work/new"
say "building again, to compare"
packaging/package.sh "$work/again"
for package in "$work"/new/*; do cmp "$package" "$work/again/${package##*/}"; done
say "two builds are the same"
VIPD_PACKAGES=$work VIPD_PACKAGES_ROOT=$base go test ./tests -run '^TestPackage' -count=1 -v -timeout 20m
