#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# After the files are gone. dpkg: remove, purge, upgrade and others; rpm: 0 after a removal, 1 after an upgrade.
set -e

[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
case ${1-} in
purge | 0)
  # Sequence numbers, history, recordings, switches. rpm has no purge, but keeps changed configs.
  [ "$1" != purge ] || rm -rf /var/lib/vipd
  rm -rf /run/vipd
  if [ "$1" = purge ] && [ -n "$(ls -A /etc/vipd 2>/dev/null)" ]; then
    echo "vipd: what you wrote into /etc/vipd is still there, keys included."
  fi
  ;;
esac
