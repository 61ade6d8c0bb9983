#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need on Debian 12 (listed in setup/packages) and mounts bpffs. Does nothing if all is present.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
list=$here/../setup/packages
PATH=$PATH:/usr/sbin:/sbin

# axe-core checks the accessibility of the status page. Its licence (MPL-2.0) is not ours, so it is downloaded: by curl,
# since Debian's npm brings almost 500 packages.
axe_version=4.14.1
axe_sha512=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
tools=${TOOLS:-$HOME/.cache/vipd-tools}
axe=$tools/axe-$axe_version.min.js

die() {
  echo "setup: $*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    die "needs root for: $*. Run it as root or install sudo"
  fi
}

have() {
  case $1 in /*) [ -e "$1" ] ;; *) command -v "$1" >/dev/null ;; esac
}

missing=() # packages
lacking=() # what they bring
while read -r package provides; do
  case $package in '' | '#'*) continue ;; esac
  for what in $provides; do
    if have "$what"; then continue; fi
    lacking+=("$what")
    [ "${missing[*]: -1}" = "${package%:}" ] || missing+=("${package%:}")
  done
done <"$list"

if ! have go; then
  needed=$(sed -n 's/^go //p' "$here/../go.mod")
  die "go is missing: install Go $needed or later (https://go.dev/dl) and put it into PATH"
fi

if [ ${#missing[@]} -gt 0 ]; then
  have apt-get || die "missing: ${lacking[*]}. This script installs them on Debian 12 only (packages: ${missing[*]});" \
    "on this system install them by hand and run it again"
  if [ "$(id -u)" != 0 ] && ! have sudo; then
    die "missing: ${lacking[*]}. Installing them needs root: run this as root, or: apt-get install ${missing[*]}"
  fi
  echo "setup: installing ${missing[*]}"
  # The packages of prometheus, ucarp and keepalived would start their services: prevent that during the installation.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    trap 'as_root rm -f '$policy EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
  fi
  as_root apt-get update -q </dev/null
  # Answers tshark's question whether users other than root may capture: no.
  echo "wireshark-common wireshark-common/install-setuid boolean false" | as_root debconf-set-selections
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null ||
    die "apt-get cannot install ${missing[*]} (see above); package names are those of Debian 12"
  hash -r
  for what in "${lacking[@]}"; do
    have "$what" || die "$what is still missing after the install; is setup/packages right for this system?"
  done
fi

if ! grep -q ' /sys/fs/bpf bpf ' /proc/mounts; then
  echo "setup: mounting bpffs at /sys/fs/bpf"
  as_root mount -t bpf bpf /sys/fs/bpf
fi

if [ ! -e "$axe" ]; then
  echo "setup: fetching axe-core $axe_version into $tools"
  fetched=$(mktemp -d)
  archive=$fetched/axe-core.tgz
  registry=${npm_config_registry:-https://registry.npmjs.org}
  curl --fail --silent --show-error --location --retry 3 --max-time 120 --output "$archive" \
    "${registry%/}/axe-core/-/axe-core-$axe_version.tgz" ||
    die "cannot download axe-core from $registry; set npm_config_registry to a registry that this machine reaches"
  sha512sum --check --quiet <<<"$axe_sha512  $archive" || die "axe-core $axe_version has an unexpected checksum"
  mkdir -p "$tools"
  tar -xzf "$archive" -C "$fetched" package/axe.min.js
  mv "$fetched/package/axe.min.js" "$axe"
  rm -r "$fetched"
fi
