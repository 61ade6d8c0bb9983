#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Before the files go. dpkg: remove, upgrade or deconfigure; rpm: 0 to remove, 1 to upgrade.
set -e

case ${1-} in
remove | 0) ;;
*) exit 0 ;; # an upgrade: the running vipd continues until the new version takes over
esac

[ -d /run/systemd/system ] || exit 0
# A stop hands the addresses over, and takes programs, filters, addresses and routes off the host.
systemctl --no-reload disable --now vipd.service || true
systemctl stop vipd-commands.socket vipd-commands.service || true
