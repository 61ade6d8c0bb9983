#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Boots a distribution's own kernel under qemu and runs the program tests and failovers inside (make test-vm): Debian 12's
# (6.1) unless VM_KERNEL says debian11 (5.10, below the floor: only that vipd refuses it, and says so) or ubuntu2204 (5.15,
# the floor). VM_ARCH=arm64 has it on that architecture. Nothing of the host is changed but for packages that are missing:
# kernels are downloaded and unpacked, not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

# Seconds: for all that happens inside, and for each of the two steps. They end what hangs: an idle machine needs a fifth.
limit=${VM_LIMIT:-3000}
step_limit=$(((limit - 100) / 2))
cache=${VM_CACHE:-$HOME/.cache/vipd-vm}
arch=${VM_ARCH:-amd64}
which=${VM_KERNEL:-debian12}
modules="virtio_pci virtio_net veth 8021q macvlan bonding bridge cls_bpf sch_ingress"

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

say() { echo "vm.sh: $*"; }
die() {
  say "$*" >&2
  exit 1
}

case $arch in
  amd64) qemu=qemu-system-x86_64 package=qemu-system-x86 ;;
  arm64) qemu=qemu-system-aarch64 package=qemu-system-arm ;;
  *) die "VM_ARCH=$arch: amd64 or arm64" ;;
esac
needs=()
command -v "$qemu" >/dev/null || needs+=("$package")
command -v cpio >/dev/null || needs+=(cpio)
if [ ${#needs[@]} -gt 0 ]; then
  say "installing ${needs[*]}"
  as_root timeout 300 apt-get update -q </dev/null
  as_root timeout 600 env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${needs[@]}" </dev/null
fi

debian_keys=/usr/share/keyrings/debian-archive-keyring.gpg

# The packages that hold the kernel and its modules, and where they come from.
case $which in
  debian12)
    meta=linux-image-cloud-$arch
    sources="deb [signed-by=$debian_keys] http://deb.debian.org/debian bookworm main
deb [signed-by=$debian_keys] http://deb.debian.org/debian-security bookworm-security main"
    ;;
  debian11)
    meta=linux-image-cloud-$arch
    sources="deb [signed-by=$debian_keys] http://deb.debian.org/debian bullseye main"
    ;;
  ubuntu2204)
    meta=linux-image-virtual
    [ "$arch" = amd64 ] || die "VM_KERNEL=ubuntu2204 is for amd64"
    sources="deb [trusted=yes] http://archive.ubuntu.com/ubuntu jammy main"
    ;;
  *) die "VM_KERNEL=$which: debian12, debian11 or ubuntu2204" ;;
esac

# apt-get of a configuration of its own: other sources and another architecture, without touching the host's.
private_apt() {
  local tool=$1 dir=$cache/apt-$which-$arch
  shift
  mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial"
  : >"$dir/status"
  echo "$sources" >"$dir/sources.list"
  cat >"$dir/apt.conf" <<CONF
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
Acquire::Languages "none";
APT::Sandbox::User "root";
Dir::State "$dir/state";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/nonexistent";
CONF
  APT_CONFIG=$dir/apt.conf timeout 300 "$tool" "$@" </dev/null
}

# Debian 12's kernel for the host's own architecture comes by the host's own apt.
own() { [ "$which" = debian12 ] && [ "$arch" = "$(dpkg --print-architecture)" ]; }

apt_update() {
  if own; then as_root timeout 300 apt-get update -q </dev/null; else private_apt apt-get update -q; fi
}
apt_depends() { if own; then apt-cache depends "$@"; else private_apt apt-cache depends "$@"; fi; }
apt_download() { if own; then timeout 300 apt-get -o APT::Sandbox::User=root download -q "$@" </dev/null; else private_apt apt-get download -q "$@"; fi; }

# What the meta package stands for now.
find_image() { apt_depends "$meta" 2>/dev/null | awk '/Depends: linux-image-[0-9]/ { print $2; exit }'; }

# Ubuntu's keys are no part of Debian; what the release came with never changes.
ubuntu_sums() {
  [ "$which" = ubuntu2204 ] || return 0
  sha256sum --quiet --check <<SUMS
ad56f8c442a54d4f5ff2dff010d00321d53e32b543f3a92f3ba4e042d20a71da  linux-image-5.15.0-25-generic_5.15.0-25.25_amd64.deb
d0ba4087d9e1d497925b3481d3531fba6c2a852855f8019d73b0b1385aa4da1f  linux-modules-5.15.0-25-generic_5.15.0-25.25_amd64.deb
SUMS
}

# An older kernel in the cache serves where there is no network.
fetch_kernel() {
  local image packages work
  mkdir -p "$cache"
  image=$(find_image)
  if [ -z "$image" ]; then
    apt_update
    image=$(find_image)
  fi
  [ -n "$image" ] || return 1
  kernel=$cache/$which-$arch-$image
  [ -d "$kernel" ] && return 0
  packages=("$image")
  [ "$which" != ubuntu2204 ] || packages+=("${image/linux-image/linux-modules}")
  say "downloading ${packages[*]}"
  work=$(mktemp -d "$cache/new-XXXXXX")
  if (cd "$work" && apt_download "${packages[@]}" && ubuntu_sums && for deb in *.deb; do dpkg -x "$deb" root; done) </dev/null; then
    mv "$work/root" "$kernel"
  fi
  rm -rf "$work"
  [ -d "$kernel" ]
}

kernel=
fetch_kernel || kernel=$(find "$cache" -mindepth 1 -maxdepth 1 -name "$which-$arch-*" 2>/dev/null | sort -V | tail -n 1)
[ -n "$kernel" ] || die "no kernel: apt-get cannot download $meta of $which, and none is in $cache"
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
export CGO_ENABLED=0 GOOS=linux GOARCH=$arch
go build -trimpath -o "$root/init" ./tests/vm/init
go build -trimpath -o "$root/bin/vipd" ./cmd/vipd
go build -trimpath -o "$root/bin/vipctl" ./cmd/vipctl
go test -c -o "$root/bin/loader.test" ./loader
go test -c -o "$root/bin/tests.test" ./tests
cp -r loader/testdata "$root/src/loader/" 2>/dev/null || true
cp bpf/*.h "$root/src/bpf/"
step() { echo "${step_limit}s $1 $2 -test.v -test.timeout $((step_limit - 10))s ${*:3}" >>"$root/steps"; }
if [ "$which" = debian11 ]; then
  step /src/tests tests.test -test.run "${VM_TESTS:-^TestOldKernel}"
else
  step /src/loader loader.test -test.short "${VM_LOADER:-}"
  step /src/tests tests.test -test.parallel 1 -test.run "${VM_TESTS:-^Test(VM|Stacked|Macvlan)}"
fi
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd.gz"

# Three NICs on a hub that leads nowhere: two nodes and a client.
nics=()
for i in 1 2 3; do
  nics+=(-netdev "hubport,id=port$i,hubid=0" -device "virtio-net-pci,netdev=port$i,mac=02:00:00:00:56:0$i,romfile=")
done
# Emulated unless asked otherwise: a /dev/kvm that is there does not always work.
machine=(-M q35 -cpu max) console=ttyS0
if [ "$arch" = arm64 ]; then
  machine=(-M virt -cpu "max,pauth-impdef=on") console=ttyAMA0
fi
accel=tcg,thread=multi
[ "${VM_ACCEL:-}" = kvm ] && accel=kvm
say "booting, at most ${limit} s ($accel); a failure shows its whole log"
log=$work/console
status=0
started=$SECONDS
timeout --kill-after 10 "$limit" nice -n 5 "$qemu" "${machine[@]}" -accel "$accel" -smp 2 -m 1536 -nodefaults -no-user-config -no-reboot \
  -display none -serial stdio -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initrd.gz" \
  -append "console=$console quiet panic=-1 net.ifnames=0" "${nics[@]}" </dev/null 2>"$work/qemu" |
  sed -u 's/\r$//' | tee "$log" | grep --line-buffered -aE '^(vm:|--- |FAIL|panic:)' || status=$?
if grep -qax 'vm: passed' "$log"; then
  grep -aE '^ +[a-z0-9]+_test.go:[0-9]+: client' "$log" || true
  say "passed, $((SECONDS - started)) s"
  exit 0
fi
echo "------------------------------------------------------------------"
grep -av -e '^=== ' -e '^ *--- PASS' "$log" | tail -n 200 || true
cat "$work/qemu" >&2
say "failed (status $status): the machine did not say that all passed" >&2
exit 1
