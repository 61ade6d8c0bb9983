#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# After the files are in place. dpkg: configure [OLD VERSION]; rpm: 1 to install, 2 to upgrade.
set -e

case ${1-} in
configure | 1 | 2) ;;
*) exit 0 ;; # dpkg takes back a removal or an upgrade that failed
esac

if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers vipd.conf || echo "vipd: cannot create the group vipd; without it only root can use vipctl" >&2
fi
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload || true

if systemctl -q is-active vipd.service; then
  # The next vipd takes over from the running one: no address moves. If its tables in the kernel are laid out in another
  # way, the addresses are on another node meanwhile.
  if ! vipctl restart --hand-over; then
    echo "vipd: the earlier version continues, and nothing has moved." >&2
    echo "vipd: mend what is named above, then run: vipctl restart" >&2
  fi
  systemctl try-restart vipd-commands.service || true
elif [ ! -e /etc/vipd/vipd.toml ]; then
  echo "vipd is installed, and not started. /etc/vipd/vipd.toml.example describes every key. Next:"
  echo "  vipctl init && systemctl enable --now vipd"
fi
