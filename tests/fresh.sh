#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds a minimal Debian 12 (debootstrap --variant=minbase) with the host's Go and a clone of HEAD, and runs in it the
# commands of README.md, "Try it" (make test-fresh). Arguments: other commands to run instead, one each.
#
# It shares the kernel and the network with the host, because apt, go and setup.sh download. It has its own
# mounts, processes, host name and IPC, and tests make their own network namespaces. It leaves nothing but the log and
# the cache.
#   FRESH_SHARE=1    take Go modules from the host's cache, read-only, instead of downloading them
#   FRESH_REFRESH=1  build the cached base system again, with new downloads (by default if it is older than 30 days)
#   FRESH_LIMIT      time limit for everything inside in seconds, default 3600
#   FRESH_CACHE      default ~/.cache/vipd-fresh: base system, downloaded packages and the last logs
set -euo pipefail

say() { echo "fresh: $*"; }
die() {
  say "$*" >&2
  exit 1
}

# Runs in the new namespaces, still with the host's files: $1 is the root, $2 the Go toolchain, $3 the packages that
# were downloaded, $4 the host's modules or -, $5 the time limit in seconds.
enter() {
  local root=$1 goroot=$2 archives=$3 modules=$4 limit=$5 node
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mkdir -p "$root$goroot" "$root/modules" "$root/.host"
  mount --bind "$goroot" "$root$goroot"
  mount -o remount,bind,ro "$root$goroot"
  mount --bind "$archives" "$root/var/cache/apt/archives"
  if [ "$modules" != - ]; then
    mount --bind "$modules" "$root/modules"
    mount -o remount,bind,ro "$root/modules"
  fi
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    IFS=: read -r name major minor <<<"$node"
    mknod -m 666 "$root/dev/$name" c "$major" "$minor"
  done
  # A test mounts its own file system.
  mknod -m 660 "$root/dev/loop-control" c 10 237
  for node in 0 1 2 3 4 5 6 7; do mknod -m 660 "$root/dev/loop$node" b 7 "$node"; done
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  ln -s fd/0 "$root/dev/stdin"
  ln -s fd/1 "$root/dev/stdout"
  ln -s fd/2 "$root/dev/stderr"
  echo vipd-fresh >/proc/sys/kernel/hostname
  cd "$root"
  pivot_root . .host
  cd /root/vipd
  umount -l /.host
  # Not exec: this shell is process 1 of the namespace and reaps orphaned processes.
  timeout --signal=KILL "$limit" bash /root/run.sh </dev/null
}

if [ "${1:-}" = --enter ]; then
  shift
  enter "$@"
  exit
fi

cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" = 0 ] || die "needs root for namespaces and debootstrap: sudo -E make test-fresh"
command -v go >/dev/null || die "go is missing: the fresh system uses the toolchain of the host"
if ! command -v debootstrap >/dev/null; then
  command -v apt-get >/dev/null || die "debootstrap is missing: install it"
  say "installing debootstrap"
  timeout 300 apt-get update -q </dev/null
  timeout 300 env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends debootstrap </dev/null
fi

cache=${FRESH_CACHE:-$HOME/.cache/vipd-fresh}
limit=${FRESH_LIMIT:-3600}
arch=$(dpkg --print-architecture)
base=$cache/bookworm-$arch.tar
goroot=$(go env GOROOT)
mkdir -p "$cache/archives/partial"
exec 8>"$cache/lock"
flock -n 8 || die "another run uses $cache: wait for its end, or set FRESH_CACHE to another directory"
log=$cache/log-$(date +%Y%m%d-%H%M%S)

commands=("$@")
if [ $# = 0 ]; then
  mapfile -t commands < <(sed -n '/^## Try it/,/^## [^T]/s/^    \(make [a-z-]*\).*/\1/p' README.md)
  [ ${#commands[@]} -gt 0 ] || die "README.md has no commands under \"Try it\""
fi
[ -z "$(git status --porcelain)" ] ||
  say "the tree has changes that are not committed: they are NOT in what is tested ($(git log -1 --format='%h %s'))"

work=$(mktemp -d "${TMPDIR:-/tmp}/fresh-XXXXXX")
inside=
# Processes inside die with process 1 of their namespace, and the mounts with the last process.
clean() {
  trap - EXIT
  trap '' INT TERM HUP
  if [ -n "$inside" ]; then
    kill -KILL "$inside" 2>/dev/null || true
    wait "$inside" 2>/dev/null || true
  fi
  rm -rf --one-file-system "$work"
  find "$cache" -maxdepth 1 -name 'log-*' | sort | head -n -5 | xargs -r rm -f
}
trap clean EXIT
trap 'say "interrupted; the log is $log" >&2; exit 130' INT
trap 'say "terminated; the log is $log" >&2; exit 143' TERM HUP

# The host's own sources of Debian 12, or the public mirror.
# shellcheck disable=SC2016 # apt-get expands it
sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
  'Identifier: Packages' 'Origin: Debian' 2>/dev/null |
  awk '$2 ~ /^bookworm/ && $3 == "main" && !seen[$1, $2]++ { print "deb", $1, $2, $3 }') || true
[ -n "$sources" ] || sources="deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian-security bookworm-security main"
mirror=${FRESH_MIRROR:-$(awk '$3 == "bookworm" { print $2; exit }' <<<"$sources")}

if [ -n "${FRESH_REFRESH:-}" ] || [ -z "$(find "$base" -mtime -30 2>/dev/null)" ]; then
  say "building a minimal Debian 12 ($arch), kept in $base"
  mkdir "$work/base"
  timeout 900 debootstrap --variant=minbase --arch="$arch" bookworm "$work/base" "$mirror" >"$log" 2>&1 </dev/null ||
    die "debootstrap failed: $(tail -n 3 "$log"); the log is $log"
  rm -rf "$cache/archives" "$work/base/var/cache/apt/archives" "$work/base/var/lib/apt/lists"
  tar -C "$work/base" -cf "$base.new" .
  mv "$base.new" "$base"
  rm -rf "$work/base"
  mkdir -p "$cache/archives/partial"
fi

root=$work/root
mkdir "$root"
say "unpacking into $root"
tar -C "$root" -xf "$base"
mkdir -p "$root/var/cache/apt/archives" "$root/var/lib/apt/lists/partial"
git clone -q --no-hardlinks . "$root/root/vipd"
git -C "$root/root/vipd" remote remove origin

# The host's network settings: its apt sources and proxies, name servers and own certificates.
echo "$sources" >"$root/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::(http|https|ftp)::' >"$root/etc/apt/apt.conf.d/90host" || true
cat /etc/resolv.conf >"$root/etc/resolv.conf"
mkdir -p "$root/usr/local/share/ca-certificates"
own_cas=/usr/local/share/ca-certificates
find "$own_cas" -name '*.crt' -exec cp -t "$root$own_cas" {} + 2>/dev/null || true
printf '127.0.0.1 localhost vipd-fresh\n::1 localhost\n' >"$root/etc/hosts"

proxy=$(go env GOPROXY)
modules=-
if [ -n "${FRESH_SHARE:-}" ]; then
  modules=$(go env GOMODCACHE)/cache/download
  proxy=file:///modules,$proxy
fi
environment=(
  HOME=/root USER=root SHELL=/bin/bash TERM="${TERM:-dumb}"
  PATH="$goroot/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
  GOPROXY="$proxy" GOSUMDB="$(go env GOSUMDB)" GONOSUMDB="$(go env GONOSUMDB)"
  GOPRIVATE="$(go env GOPRIVATE)" GOTOOLCHAIN="$(go env GOTOOLCHAIN)"
  NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
)
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY npm_config_registry CI; do
  [ -z "${!name:-}" ] || environment+=("$name=${!name}")
done

# shellcheck disable=SC2016,SC2028 # the shell inside expands it
{
  echo 'set -eu'
  echo 'step() { printf "\nfresh: %s (%s s)\n" "$*" "$SECONDS"; }'
  # What README.md requires besides Go.
  echo 'step installing make and ca-certificates'
  echo 'apt-get update -q'
  echo 'DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends make ca-certificates'
  for command in "${commands[@]}"; do
    printf 'step %q\n%s || { status=$?; step %q "failed, status $status"; exit $status; }\n' \
      "$command" "$command" "$command"
  done
  echo 'step all passed'
} >"$root/root/run.sh"

say "running inside: ${commands[*]/%/;} the log is $log, at most $limit s"
# --kill-child: nothing inside survives this unshare, which env becomes.
env -i "${environment[@]}" unshare --mount --pid --fork --kill-child --ipc --uts \
  bash "$PWD/tests/fresh.sh" --enter "$root" "$goroot" "$cache/archives" "$modules" "$limit" \
  > >(tee -a "$log") 2>&1 8>&- &
inside=$!
status=0
wait "$inside" || status=$?
inside=
case $status in
  0) say "passed in $SECONDS s; the log is $log" ;;
  137) die "not finished after $limit s, or killed; the log is $log" ;;
  *) die "failed with status $status; the log is $log" ;;
esac
