#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need on Debian 12 and mounts bpffs. Does nothing where it is all there.
set -euo pipefail

# command (or file) that must be there -> Debian package that brings it
needs=(
  "ip iproute2" "zsh zsh" "fish fish" "nsenter util-linux" "nft nftables" "tcpdump tcpdump" "ethtool ethtool" "jq jq"
  "ucarp ucarp" "keepalived keepalived" "promtool prometheus" "tshark tshark" "git git" "openssl openssl" "gcc gcc" "/usr/include/stdlib.h libc6-dev"
  "shellcheck shellcheck" "systemd-analyze systemd" "setpriv util-linux" "chrt util-linux" "strace strace"
  "chromium chromium"
  "clang-14 clang-14" "llvm-strip-14 llvm-14" "/usr/include/bpf/bpf_helpers.h libbpf-dev"
  "/usr/include/linux/bpf.h linux-libc-dev"
)
PATH=$PATH:/usr/sbin:/sbin

# axe-core looks for what keeps people from using the status page. Its licence (MPL-2.0) is not ours, so it is fetched.
axe_version=4.14.1
axe_sha512="FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
tools=${TOOLS:-$HOME/.cache/vipd-tools}
axe=$tools/axe-$axe_version.min.js
[ -e "$axe" ] || needs+=("npm npm")

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

have() {
  case $1 in /*) [ -e "$1" ] ;; *) command -v "$1" >/dev/null ;; esac
}

missing=()
for need in "${needs[@]}"; do
  read -r what package <<<"$need"
  have "$what" || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "setup: missing: ${missing[*]}; this script knows only apt-get, install them by hand" >&2
    exit 1
  fi
  echo "setup: installing ${missing[*]}"
  # The packages of prometheus, ucarp and keepalived would start their services: forbid it for the time of the install.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    trap 'as_root rm -f '$policy EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
  fi
  as_root apt-get update -q </dev/null
  # tshark asks whether others than root may capture: no.
  echo "wireshark-common wireshark-common/install-setuid boolean false" | as_root debconf-set-selections
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
fi

if ! grep -q ' /sys/fs/bpf bpf ' /proc/mounts; then
  echo "setup: mounting bpffs at /sys/fs/bpf"
  as_root mount -t bpf bpf /sys/fs/bpf
fi

if [ ! -e "$axe" ]; then
  echo "setup: fetching axe-core $axe_version into $tools"
  fetched=$(mktemp -d)
  (cd "$fetched" && npm pack --silent "axe-core@$axe_version" >/dev/null)
  sum=$(openssl dgst -sha512 -binary "$fetched/axe-core-$axe_version.tgz" | base64 -w0)
  if [ "$sum" != "$axe_sha512" ]; then
    echo "setup: axe-core $axe_version is not what it was: sha512-$sum" >&2
    exit 1
  fi
  mkdir -p "$tools"
  tar -xzf "$fetched/axe-core-$axe_version.tgz" -C "$fetched" package/axe.min.js
  mv "$fetched/package/axe.min.js" "$axe"
  rm -r "$fetched"
fi
