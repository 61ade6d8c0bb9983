#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Boots a distribution's own kernel under qemu and runs the program tests and failovers inside (make test-vm). See
# usage below for what the environment selects.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

usage() {
  cat <<'USAGE'
usage: [VARIABLE=VALUE ...] tests/vm.sh

Boots a distribution's kernel in qemu and runs vipd's tests inside. The host is not changed, except that missing
packages are installed; kernels, and a newer qemu for igb, are downloaded with apt-get and unpacked only.

  VM_KERNEL   debian12 (6.1, the default), ubuntu2204 (5.15, the oldest supported kernel; amd64), backports (6.12), or
              debian11 (5.10: tests only that vipd refuses it and reports why)
  VM_ARCH     amd64 (the default) or arm64
  VM_NIC      virtio-net-pci (the default), vmxnet3, igb or e1000e: amd64 with VM_KERNEL=backports, their default,
              where vmxnet3 has XDP and all of them are modules; runs only the tests that depend on the NIC
  VM_ACCEL    kvm or tcg; the default is kvm if a kernel boots with it within 20 s, else tcg
  VM_LIMIT    time limit for everything inside, in seconds (3000; an idle machine needs a fifth of it)
  VM_TESTS    integration tests to run, a regular expression
  VM_LOADER   flag for the program tests, such as -test.run=VerifierBudget; without VM_NIC
  VM_CACHE    directory for what is downloaded (~/.cache/vipd-vm)
USAGE
}

case ${1:-} in
  '') ;;
  -h | --help)
    usage
    exit 0
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac

limit=${VM_LIMIT:-3000}
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

# bad NAME VALUE ALLOWED reports a variable that has a value it cannot have.
bad() { die "$1=$2 is not possible: must be $3 (tests/vm.sh --help)"; }
case $arch in
  amd64) qemu=qemu-system-x86_64 package=qemu-system-x86 ;;
  arm64) qemu=qemu-system-aarch64 package=qemu-system-arm ;;
  *) bad VM_ARCH "$arch" "amd64 or arm64" ;;
esac
case $which in
  debian12 | debian11 | backports) ;;
  ubuntu2204) [ "$arch" = amd64 ] || bad VM_ARCH "$arch" "amd64 with VM_KERNEL=ubuntu2204" ;;
  *) bad VM_KERNEL "$which" "debian12, ubuntu2204, backports or debian11" ;;
esac
case $nic in
  virtio-net-pci) ;;
  vmxnet3 | igb | e1000e)
    [ "$arch" = amd64 ] || bad VM_ARCH "$arch" "amd64 with VM_NIC=$nic"
    [ "$which" = backports ] || bad VM_KERNEL "$which" "backports (the default) with VM_NIC=$nic"
    modules+=" $nic"
    ;;
  *) bad VM_NIC "$nic" "virtio-net-pci, vmxnet3, igb or e1000e" ;;
esac
case ${VM_ACCEL:-} in
  '' | kvm | tcg) ;;
  *) bad VM_ACCEL "$VM_ACCEL" "kvm or tcg" ;;
esac
[[ $limit =~ ^[1-9][0-9]{2,5}$ ]] || bad VM_LIMIT "$limit" "a number of seconds from 100 to 999999"
step_limit=$((limit / 2 - 40)) # for each step
command -v go >/dev/null || die "go is not in PATH, and the programs and tests have to be built"
command -v apt-get >/dev/null || die "apt-get is missing: kernels are downloaded with it, on Debian 12 or newer"
needs=()
command -v "$qemu" >/dev/null || needs+=("$package")
command -v cpio >/dev/null || needs+=(cpio)
command -v xz >/dev/null || needs+=(xz-utils) # the modules of the backports are compressed
if [ ${#needs[@]} -gt 0 ]; then
  say "installing ${needs[*]}"
  as_root timeout 300 apt-get update -q </dev/null || die "apt-get update failed (see above)"
  as_root timeout 600 env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${needs[@]}" </dev/null ||
    die "cannot install ${needs[*]} (see above); install them by hand and run this again"
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
    sources="deb [trusted=yes] http://archive.ubuntu.com/ubuntu jammy main"
    ;;
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
elif [ "$nic" != virtio-net-pci ]; then # only what depends on the NIC
  step /src/tests tests.test -test.parallel 1 -test.run "${VM_TESTS:-^TestVM}"
else
  for dir in $loader; do step "/src/$dir" "${dir//\//-}.test" -test.short "${VM_LOADER:-}"; done
  step /src/tests tests.test -test.parallel 1 -test.run "${VM_TESTS:-^Test(VM|Stacked|Macvlan)}"
fi
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd.gz"

# Three NICs on an isolated hub: two nodes and a client. Every other slot, since igb's virtual functions take the PCI
# functions of two slots.
nics=()
for i in 1 2 3; do
  nics+=(-netdev "hubport,id=port$i,hubid=0"
    -device "$nic,netdev=port$i,mac=02:00:00:00:56:0$i,romfile=,addr=$((2 * i))")
done
machine=(-M q35 -cpu max) console=ttyS0
if [ "$arch" = arm64 ]; then
  machine=(-M virt -cpu "max,pauth-impdef=on") console=ttyAMA0
fi
# boot SECONDS ARGUMENT... runs the machine for at most so long.
boot() {
  timeout --kill-after 10 "$1" nice -n 5 "${run_qemu[@]}" "${machine[@]}" -smp 2 -m 1536 -nodefaults -no-user-config \
    -no-reboot -display none -serial stdio -kernel "$kernel"/boot/vmlinuz-* "${@:2}" </dev/null
}

# Reports whether the kernel boots with KVM. A /dev/kvm that can be opened does not show it: under another hypervisor
# qemu may end at once, or the machine stand still. Without a root file system the kernel panics, which ends qemu.
kvm_works() {
  [ "$arch" = "$(dpkg --print-architecture)" ] && [ -w /dev/kvm ] || return 1
  say "trying whether KVM works here, at most 20 s"
  boot 20 -accel kvm -append "console=$console panic=-1" >"$work/kvm" 2>&1 || true
  grep -qa 'Linux version' "$work/kvm"
}

accel=${VM_ACCEL:-}
if [ -z "$accel" ]; then
  accel=tcg
  if kvm_works; then accel=kvm; fi
fi
say "booting, at most ${limit} s ($accel); a failure shows its whole log"
log=$work/console
status=0
started=$SECONDS
boot "$limit" -accel "${accel/#tcg/tcg,thread=multi}" -initrd "$work/initrd.gz" \
  -append "console=$console quiet panic=-1 net.ifnames=0" "${nics[@]}" 2>"$work/qemu" |
  sed -u 's/\r$//' | tee "$log" | grep --line-buffered -aE '^(vm:|--- |FAIL|panic:)' || status=$?
if grep -qax 'vm: passed' "$log"; then
  grep -aE '^ +[a-z0-9]+_test.go:[0-9]+: client' "$log" || true
  say "passed, $((SECONDS - started)) s"
  exit 0
fi
echo "------------------------------------------------------------------"
grep -av -e '^=== ' -e '^ *--- PASS' "$log" | tail -n 200 || true
cat "$work/qemu" >&2
why="the machine ended by itself (qemu: status $status)"
case $status in 124 | 137) why="not done within VM_LIMIT=$limit s" ;; esac
if grep -qax 'vm: failed' "$log"; then why="a step failed"; fi
die "failed after $((SECONDS - started)) s: $why; began last: $(grep -aE '^(=== RUN|vm: step)' "$log" | tail -n 1)"
