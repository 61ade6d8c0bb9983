#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the scripts that start a systemd for one test have in common: control groups, v2, or v1 next to v2 on some
# machines.
#   groups.sh enter NAME COMMAND ...   runs it in a control group of that name, in new namespaces, with INSIDE=yes
#   groups.sh v1                       prints whether the machine has v1 next to v2
#   groups.sh mount V1 DIRECTORY       mounts those of the namespace; V1 is what the call before printed
set -eu
what=$1
shift
case $what in
enter)
  name=$1
  shift
  for root in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    case $(stat -f -c %T "$root" 2>/dev/null || true) in
    cgroup2fs | cgroupfs)
      mkdir -p "$root/$name"
      echo $$ >"$root/$name/cgroup.procs"
      ;;
    esac
  done
  INSIDE=yes exec unshare --pid --fork --kill-child --mount --cgroup --ipc --uts "$@"
  ;;
v1)
  if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then echo no; else echo yes; fi
  ;;
mount)
  v1=$1 at=$2
  if [ "$v1" = yes ]; then
    mount -t tmpfs -o mode=755 cgroup "$at"
    mkdir "$at/unified" "$at/systemd"
    mount -t cgroup2 cgroup2 "$at/unified"
    mount -t cgroup -o none,name=systemd cgroup "$at/systemd"
  else
    mount -t cgroup2 cgroup2 "$at"
  fi
  ;;
esac
