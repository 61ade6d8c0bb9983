#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the packages, an older version of them and the image, and tests them (make test-packages): the packages in
# minimal Debian 12 systems with systemd as process 1, which are made once and kept in ~/.cache/vipd-packages, the image
# by podman. tests/reproducible.sh compares two builds.
#   VIPD_PREVIOUS_DEB  also upgrade from this .deb, such as that of the last release
set -euo pipefail
previous=${VIPD_PREVIOUS_DEB:+$(realpath -e "$VIPD_PREVIOUS_DEB")}
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

say() { echo "test-packages: $*"; }
[ "$(id -u)" = 0 ] || { say "needs root for namespaces and debootstrap: sudo -E make test-packages" >&2; exit 1; }

cache=${PACKAGES_CACHE:-$HOME/.cache/vipd-packages}
base=$cache/bookworm-systemd.tar
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
missing=()
for package in debootstrap lintian rpm podman qemu-user-static:qemu-aarch64-static; do
  command -v "${package#*:}" >/dev/null || missing+=("${package%:*}")
done
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

# Debian 12's podman has no quadlet yet. That of Debian 13 needs nothing but libc.
quadlet=$cache/quadlet-trixie
if [ ! -e "$quadlet" ]; then
  say "downloading podman of Debian 13 for its quadlet, kept in $quadlet"
  apt=$work/apt
  mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,deb}
  : >"$apt/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" \
    >"$apt/sources.list"
  cat >"$apt/apt.conf" <<CONF
Acquire::Languages "none";
APT::Sandbox::User "root";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/nonexistent";
CONF
  APT_CONFIG=$apt/apt.conf timeout 300 apt-get update -q </dev/null
  (cd "$apt/deb" && APT_CONFIG=$apt/apt.conf timeout 300 apt-get download -q podman </dev/null)
  dpkg -x "$apt"/deb/podman_*.deb "$apt/root"
  mv "$apt/root/usr/libexec/podman/quadlet" "$quadlet"
fi
say "checking the manifests"
(cd packaging/tools && go test -count=1 ./...)
mkdir "$work/units"
QUADLET_UNIT_DIRS=$PWD/packaging/container "$quadlet" "$work/units"
systemd-analyze verify "$work/units/vipd.service"

arch=$(go env GOHOSTARCH)
VERSION=0.0.9 packaging/package.sh "$work/old" "$arch"
packaging/package.sh "$work/new"
packaging/image.sh "$work/image"
VIPD_PACKAGES=$work VIPD_PACKAGES_ROOT=$base VIPD_IMAGE=$(echo "$work"/image/*.oci.tar) VIPD_PREVIOUS_DEB=$previous \
  go test ./tests -run '^Test(Package|QuickStart|Rpm|Container)' -count=1 -v -timeout 20m
