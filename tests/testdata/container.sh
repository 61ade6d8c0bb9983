#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command of a container engine for one test: with storage of its own, in mount and process namespaces that take
# all of it along when they end, in the network namespace of the caller. The host's root has prepared /sys/fs/bpf for
# the user. Arguments: a directory, the user, the command.
set -eu
dir=$1 user=$2
if [ "${INSIDE:-}" != yes ]; then
  INSIDE=yes exec unshare --pid --fork --kill-child --mount --mount-proc "$0" "$@"
fi
shift 2
mount --make-rprivate /
# The engine is not to manage control groups here, and wants one of its kinds nevertheless.
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
if [ "$user" != 0 ]; then
  install -d -o "$user" -g "$user" -m 750 /sys/fs/bpf/vipd
  chmod o+x /sys/fs/bpf
fi
export CONTAINERS_CONF=$dir/containers.conf CONTAINERS_STORAGE_CONF=$dir/storage.conf
cat >"$CONTAINERS_CONF" <<CONF
[containers]
cgroups = "disabled"
# Those of the caller, which may have no right to raise them.
default_ulimits = ["nofile=$(ulimit -Sn):$(ulimit -Hn)", "nproc=$(ulimit -Su):$(ulimit -Hu)"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
tmp_dir = "$dir/tmp"
CONF
cat >"$CONTAINERS_STORAGE_CONF" <<CONF
[storage]
driver = "vfs"
graphroot = "$dir/storage"
runroot = "$dir/runroot"
CONF
exec "$@"
