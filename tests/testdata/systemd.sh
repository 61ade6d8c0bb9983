#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Starts a separate systemd for one test: process 1 of new process, mount and control group
# namespaces, without the host's units. Arguments: the installed tree (its /usr/local is bound
# over the host's), a directory for /etc, the control group's name.
set -eu
stage=$1 etc=$2 name=$3

groups=${0%/*}/groups.sh
[ "${INSIDE:-}" = yes ] || exec "$groups" enter "$name" "$0" "$@"

mount --make-rprivate /
mount -t proc proc /proc
v1=$("$groups" v1)
umount -R /sys/fs/cgroup
"$groups" mount "$v1" /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/etc
cp -a /etc/. /run/etc/
cp -a "$etc/." /run/etc/
rm -rf /run/etc/systemd/system
cp -a "$etc/systemd/system" /run/etc/systemd/
mount --bind /run/etc /etc
mount --bind "$stage/usr/local" /usr/local
for hidden in /usr/lib/systemd/system /usr/lib/systemd/system-generators \
  /usr/lib/systemd/system-environment-generators \
  /var/lib /var/tmp /tmp /root; do
  [ ! -d $hidden ] || mount -t tmpfs -o mode=755 tmpfs $hidden
done
for target in sysinit basic sockets shutdown network-pre network rescue emergency; do
  printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' $target >/usr/lib/systemd/system/$target.target
done
# With the defaults of a target: it is ordered after the units it wants, and stops at a shutdown.
printf '[Unit]\nDescription=multi-user\nRequires=basic.target\nAfter=basic.target\n' \
  >/usr/lib/systemd/system/multi-user.target
# As at a real boot; services get credentials through it.
mount --make-rshared /
exec env -i PATH="$PATH" container=vipd \
  /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --log-level=info
