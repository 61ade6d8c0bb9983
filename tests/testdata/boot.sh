#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Boots the systemd of another root directory for one test: process 1 of new process, mount and control group
# namespaces, in the network namespace of the caller. Arguments: the root, the control group's name.
set -eu
root=$1 name=$2

if [ "${INSIDE:-}" != yes ]; then
  # The control group that it manages: v2, or v1 next to v2 on some machines.
  for groups in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    case $(stat -f -c %T "$groups" 2>/dev/null || true) in
    cgroup2fs | cgroupfs)
      mkdir -p "$groups/$name"
      echo $$ >"$groups/$name/cgroup.procs"
      ;;
    esac
  done
  INSIDE=yes exec unshare --pid --fork --kill-child --mount --cgroup --ipc --uts "$0" "$@"
fi

v1=no
[ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] || v1=yes
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t bpf bpf "$root/sys/fs/bpf"
groups=$root/sys/fs/cgroup
if [ $v1 = yes ]; then
  mount -t tmpfs -o mode=755 cgroup "$groups"
  mkdir "$groups/unified" "$groups/systemd"
  mount -t cgroup2 cgroup2 "$groups/unified"
  mount -t cgroup -o none,name=systemd cgroup "$groups/systemd"
else
  mount -t cgroup2 cgroup2 "$groups"
fi
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
