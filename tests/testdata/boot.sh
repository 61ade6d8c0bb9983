#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Boots the systemd of another root directory for one test: process 1 of new process, mount and control group
# namespaces, in the network namespace of the caller. Arguments: the root, the control group's name.
set -eu
root=$1 name=$2

groups=${0%/*}/groups.sh
[ "${INSIDE:-}" = yes ] || exec "$groups" enter "$name" "$0" "$@"

v1=$("$groups" v1)
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t bpf bpf "$root/sys/fs/bpf"
"$groups" mount "$v1" "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null:3 zero:5 full:7 random:8 urandom:9; do
  mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
done
mknod -m 666 "$root/dev/tty" c 5 0
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
echo "$name" >/proc/sys/kernel/hostname
mkdir -p "$root/.host"
cd "$root"
pivot_root . .host
umount -l /.host
# As at a real boot; services get credentials through it.
mount --make-rshared /
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec env -i PATH="$PATH" container=vipd \
  /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --log-level=info
