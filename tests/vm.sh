#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Boots Debian 12's own kernel under qemu and runs the program tests and a failover on virtio-net inside (make test-vm).
# Nothing of the host is changed but for packages that are missing: the kernel is downloaded and unpacked, not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

limit=${VM_LIMIT:-960} # seconds, for all that happens inside
cache=${VM_CACHE:-$HOME/.cache/vipd-vm}
modules="virtio_pci virtio_net veth 8021q macvlan bonding bridge cls_bpf sch_ingress"

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

say() { echo "vm.sh: $*"; }

needs=()
command -v qemu-system-x86_64 >/dev/null || needs+=(qemu-system-x86)
command -v cpio >/dev/null || needs+=(cpio)
if [ ${#needs[@]} -gt 0 ]; then
  say "installing ${needs[*]}"
  as_root timeout 300 apt-get update -q </dev/null
  as_root timeout 600 env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${needs[@]}" </dev/null
fi

# The kernel that linux-image-cloud-amd64 stands for now; an older one in the cache serves where there is no network.
fetch_kernel() {
  local package work
  package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
  if [ -z "$package" ]; then
    as_root timeout 300 apt-get update -q </dev/null
    package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
  fi
  [ -n "$package" ] || return 1
  [ -d "$cache/$package" ] && { kernel=$cache/$package; return 0; }
  say "downloading $package"
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/new-XXXXXX")
  if (cd "$work" && timeout 300 apt-get download -q "$package" && dpkg -x ./*.deb root) </dev/null; then
    mv "$work/root" "$cache/$package"
    kernel=$cache/$package
  fi
  rm -rf "$work"
  [ -d "$cache/$package" ]
}

kernel=
fetch_kernel || kernel=$(find "$cache" -mindepth 1 -maxdepth 1 -name 'linux-image-*' 2>/dev/null | sort -V | tail -n 1)
[ -n "$kernel" ] || { say "no kernel: apt-get cannot download linux-image-cloud-amd64, and none is in $cache" >&2; exit 1; }
say "kernel $(basename "$kernel")"

work=$(mktemp -d "${TMPDIR:-/tmp}/vipd-vm-XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/bin" "$root/lib/modules" "$root/src/loader" "$root/src/bpf" "$root/src/tests"

# A module and what it needs; one that the kernel has built in is not there.
take_module() {
  local file need
  [ -e "$root/lib/modules/$1.ko" ] && return 0
  file=$(find "$kernel/lib/modules" -name "$1.ko" -print -quit)
  [ -n "$file" ] || return 0
  cp "$file" "$root/lib/modules/"
  for need in $(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | tr ',' ' '); do take_module "$need"; done
}
for m in $modules; do take_module "$m"; done

say "building the programs and tests"
export CGO_ENABLED=0
go build -trimpath -o "$root/init" ./tests/vm/init
go build -trimpath -o "$root/bin/vipd" ./cmd/vipd
go build -trimpath -o "$root/bin/vipctl" ./cmd/vipctl
go test -c -o "$root/bin/loader.test" ./loader
go test -c -o "$root/bin/tests.test" ./tests
cp -r loader/testdata "$root/src/loader/" 2>/dev/null || true
cp bpf/*.h "$root/src/bpf/"
{
  echo "540s /src/loader loader.test -test.v -test.timeout 530s ${VM_LOADER:-}"
  echo "300s /src/tests tests.test -test.v -test.timeout 290s -test.run ${VM_TESTS:-^TestVM}"
} >"$root/steps"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd.gz"

# Three NICs on a hub that leads nowhere: two nodes and a client.
nics=()
for i in 1 2 3; do
  nics+=(-netdev "hubport,id=port$i,hubid=0" -device "virtio-net-pci,netdev=port$i,mac=02:00:00:00:56:0$i,romfile=")
done
# Emulated unless asked otherwise: a /dev/kvm that is there does not always work.
accel=(-accel tcg,thread=multi -cpu max)
[ "${VM_ACCEL:-}" = kvm ] && accel=(-accel kvm -cpu host)
say "booting, at most ${limit} s (${accel[1]}); a failure shows its whole log"
log=$work/console
status=0
started=$SECONDS
timeout --kill-after 10 "$limit" nice -n 5 qemu-system-x86_64 -M q35 "${accel[@]}" -smp 2 -m 1536 -nodefaults -no-user-config -no-reboot \
  -display none -serial stdio -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initrd.gz" \
  -append "console=ttyS0 quiet panic=-1 net.ifnames=0" "${nics[@]}" </dev/null 2>"$work/qemu" |
  sed -u 's/\r$//' | tee "$log" | grep --line-buffered -aE '^(vm:|--- |FAIL|panic:)' || status=$?
if grep -qax 'vm: passed' "$log"; then
  say "passed, $((SECONDS - started)) s"
  exit 0
fi
echo "------------------------------------------------------------------"
grep -av -e '^=== ' -e '^ *--- PASS' "$log" | tail -n 200 || true
cat "$work/qemu" >&2
say "failed (status $status): the machine did not say that all passed" >&2
exit 1
