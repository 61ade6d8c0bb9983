#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fails if a run of the tests or of the demo left a namespace, a pin, a directory or a process behind.
# The lab names everything vipd-TEST-PID-...; objects of a PID that still runs are in use and not counted.
set -euo pipefail
shopt -s nullglob
left=0

report() {
  echo "left behind: $*" >&2
  left=1
}

owner_is_gone() { # NAME
  [[ $1 =~ ^vipd-.*-([0-9]+)-[0-9]+(-|$) ]] && ! [ -d "/proc/${BASH_REMATCH[1]}" ]
}

for path in /run/netns/vipd-* /sys/fs/bpf/vipd-* /tmp/vipd-* /sys/fs/cgroup/vipd-* /sys/fs/cgroup/*/vipd-*; do
  if owner_is_gone "${path##*/}"; then report "$path"; fi
done

for environ in /proc/[0-9]*/environ; do
  # It may be gone, or a kernel thread.
  lab=$({ tr '\0' '\n' <"$environ"; } 2>/dev/null | sed -n 's/^VIPD_LAB=//p') || true
  if [ -n "$lab" ] && owner_is_gone "$lab"; then
    pid=${environ#/proc/}
    report "process ${pid%/environ} of $lab: $(tr '\0' ' ' <"${environ%environ}cmdline")"
  fi
done

if [ $left = 0 ]; then echo "no namespace, pin or process of ours is left"; fi
exit $left
