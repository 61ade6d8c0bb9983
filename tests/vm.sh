#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Boots a distribution's own kernel under qemu and runs the program tests and failovers inside (make test-vm): Debian
# 12's (6.1) unless VM_KERNEL is debian11 (5.10, below the floor: tests only that vipd refuses it and reports why),
# ubuntu2204 (5.15, the floor) or backports (6.12). VM_ARCH=arm64 selects that architecture. VM_NIC=vmxnet3, igb or
# e1000e gives the machine those NICs; they need the kernel of the backports, where vmxnet3 has XDP and all of them are
# modules, and igb needs its qemu. The host is not changed, except that missing packages are installed; kernels and that
# qemu are downloaded and unpacked only.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

# Time limits in seconds: for everything inside, and for each of the two steps. An idle machine needs a fifth of them.
limit=${VM_LIMIT:-3000}
step_limit=$(((limit - 100) / 2))
cache=${VM_CACHE:-$HOME/.cache/vipd-vm}
arch=${VM_ARCH:-amd64}
nic=${VM_NIC:-virtio-net-pci}
which=${VM_KERNEL:-$([ "$nic" = virtio-net-pci ] && echo debian12 || echo backports)}
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
case $nic in
  virtio-net-pci) ;;
  vmxnet3 | igb | e1000e)
    [ "$arch-$which" = amd64-backports ] || die "VM_NIC=$nic is for amd64 and VM_KERNEL=backports, its default"
    modules+=" $nic"
    ;;
  *) die "VM_NIC=$nic: virtio-net-pci, vmxnet3, igb or e1000e" ;;
esac
needs=()
command -v "$qemu" >/dev/null || needs+=("$package")
command -v cpio >/dev/null || needs+=(cpio)
command -v xz >/dev/null || needs+=(xz-utils) # the modules of the backports are compressed
if [ ${#needs[@]} -gt 0 ]; then
  say "installing ${needs[*]}"
  as_root timeout 300 apt-get update -q </dev/null
  as_root timeout 600 env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${needs[@]}" </dev/null
fi

debian_keys=/usr/share/keyrings/debian-archive-keyring.gpg

# The packages that hold the kernel and its modules, and where they come from.
case $which in
  debian12)
    meta=linux-image-cloud-$arch
    sources="deb [signed-by=$debian_keys] http://deb.debian.org/debian bookworm main
deb [signed-by=$debian_keys] http://deb.debian.org/debian-security bookworm-security main"
    ;;
  backports)
    meta=linux-image-$arch
    sources="deb [signed-by=$debian_keys] http://deb.debian.org/debian bookworm-backports main"
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
  *) die "VM_KERNEL=$which: debian12, debian11, ubuntu2204 or backports" ;;
esac

# Runs apt-get with its own configuration: other sources and another architecture, without touching the host's.
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

# The host's own apt provides Debian 12's kernel for the host's own architecture.
own() { [ "$which" = debian12 ] && [ "$arch" = "$(dpkg --print-architecture)" ]; }

apt_update() {
  if own; then as_root timeout 300 apt-get update -q </dev/null; else private_apt apt-get update -q; fi
}
apt_depends() { if own; then apt-cache depends "$@"; else private_apt apt-cache depends "$@"; fi; }
apt_download() {
  if own; then
    timeout 300 apt-get -o APT::Sandbox::User=root download -q "$@" </dev/null
  else
    private_apt apt-get download -q "$@"
  fi
}

# The kernel package that the meta package depends on now.
find_image() { apt_depends "$meta" 2>/dev/null | awk '/Depends: linux-image-[0-9]/ { print $2; exit }'; }

# Debian does not include Ubuntu's keys; the original packages of the release never change.
ubuntu_sums() {
  [ "$which" = ubuntu2204 ] || return 0
  sha256sum --quiet --check <<SUMS
ad56f8c442a54d4f5ff2dff010d00321d53e32b543f3a92f3ba4e042d20a71da  linux-image-5.15.0-25-generic_5.15.0-25.25_amd64.deb
d0ba4087d9e1d497925b3481d3531fba6c2a852855f8019d73b0b1385aa4da1f  linux-modules-5.15.0-25-generic_5.15.0-25.25_amd64.deb
SUMS
}

# unpack DIR PACKAGE... downloads packages and unpacks them into a new DIR, or leaves nothing.
unpack() {
  local dir=$1 work
  shift
  say "downloading $*"
  work=$(mktemp -d "$cache/new-XXXXXX")
  if (
    cd "$work" && apt_download "$@" && ubuntu_sums && for deb in *.deb; do dpkg -x "$deb" root; done
  ) </dev/null; then
    mv "$work/root" "$dir"
  fi
  rm -rf "$work"
  [ -d "$dir" ]
}

# Without a network, use an older kernel from the cache.
fetch_kernel() {
  local image packages
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
  unpack "$kernel" "${packages[@]}"
}

kernel=
fetch_kernel || kernel=$(find "$cache" -mindepth 1 -maxdepth 1 -name "$which-$arch-*" 2>/dev/null | sort -V | tail -n 1)
[ -n "$kernel" ] || die "no kernel: apt-get cannot download $meta of $which, and none is in $cache"
say "kernel $(basename "$kernel")"

# Debian 12's qemu (7.2) has no igb; that of the backports has, and finds its own modules only in its own place.
run_qemu=("$qemu")
if [ "$nic" = igb ]; then
  newer=$cache/qemu-$which-$arch
  [ -d "$newer" ] ||
    unpack "$newer" {qemu-system-x86,qemu-system-common,qemu-system-data,seabios}/bookworm-backports ||
    die "cannot download the qemu of $which, which igb needs"
  modules_dir=/usr/lib/x86_64-linux-gnu/qemu
  # shellcheck disable=SC2016 # for the inner shell
  run_qemu=(unshare --mount --map-root-user sh -c
    '! [ -d "$1" ] || mount --bind "$0$1" "$1"; shift; exec "$0/usr/bin/qemu-system-x86_64" "$@"'
    "$newer" "$modules_dir" -L "$newer/usr/share/qemu" -L "$newer/usr/share/seabios")
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/vipd-vm-XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/bin" "$root/lib/modules" "$root/src/loader" "$root/src/bpf" "$root/src/tests"

# Copies a module and its dependencies; a module that is built into the kernel has no file.
take_module() {
  local file need
  [ -e "$root/lib/modules/$1.ko" ] && return 0
  file=$(find "$kernel/lib/modules" -name "$1.ko" -o -name "$1.ko.xz" | head -n 1)
  case $file in
    *.xz) xz -dc "$file" >"$root/lib/modules/$1.ko" ;;
    *.ko) cp "$file" "$root/lib/modules/" ;;
    *) return 0 ;;
  esac
  for need in $(tr '\0' '\n' <"$root/lib/modules/$1.ko" | sed -n 's/^depends=//p' | tr ',' ' '); do take_module "$need"; done
}
for m in $modules; do take_module "$m"; done

say "building the programs and tests"
loader="loader loader/attach loader/model loader/object loader/tables"
export CGO_ENABLED=0 GOOS=linux GOARCH=$arch
go build -trimpath -o "$root/init" ./tests/vm/init
go build -trimpath -tags urfave_cli_no_docs -o "$root/bin/vipd" ./cmd/vipd
go build -trimpath -tags urfave_cli_no_docs -o "$root/bin/vipctl" ./cmd/vipctl
for dir in $loader; do
  go test -c -o "$root/bin/${dir//\//-}.test" "./$dir"
  mkdir -p "$root/src/$dir"
  cp -r "$dir/testdata" "$root/src/$dir/" 2>/dev/null || true
done
go test -c -o "$root/bin/tests.test" ./tests
cp bpf/*.h "$root/src/bpf/"
step() { echo "${step_limit}s $1 $2 -test.v -test.timeout $((step_limit - 10))s ${*:3}" >>"$root/steps"; }
if [ "$which" = debian11 ]; then
  step /src/tests tests.test -test.run "${VM_TESTS:-^TestOldKernel}"
else
  for dir in $loader; do step "/src/$dir" "${dir//\//-}.test" -test.short "${VM_LOADER:-}"; done
  step /src/tests tests.test -test.parallel 1 -test.run "${VM_TESTS:-^Test(VM|Stacked|Macvlan)}"
fi
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd.gz"

# Three NICs on an isolated hub: two nodes and a client.
nics=()
for i in 1 2 3; do
  nics+=(-netdev "hubport,id=port$i,hubid=0" -device "$nic,netdev=port$i,mac=02:00:00:00:56:0$i,romfile=")
done
# Emulated by default: /dev/kvm may exist and not work.
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
timeout --kill-after 10 "$limit" nice -n 5 "${run_qemu[@]}" "${machine[@]}" -accel "$accel" \
  -smp 2 -m 1536 -nodefaults -no-user-config -no-reboot \
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
