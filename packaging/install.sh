#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs vipd in the usual places of a Linux distribution; run by `make install`.
# DESTDIR is prepended to every path, PREFIX is /usr/local or /usr, SYSCONFDIR is /etc.
set -euo pipefail

bin=${1:?the directory with vipd and vipctl}
# Prints the completion scripts; another one when bin/ is for another architecture.
vipctl=${VIPCTL:-$bin/vipctl}
here=$(dirname "$0")
root=${DESTDIR-}
prefix=${PREFIX:-/usr/local}
etc=${SYSCONFDIR:-/etc}

put() { # MODE FILE TARGET
  install -D -m "$1" "$2" "$root$3"
}

put 755 "$bin/vipd" "$prefix/sbin/vipd"
put 755 "$bin/vipctl" "$prefix/bin/vipctl"

unit=$(mktemp)
trap 'rm -f "$unit"' EXIT
for name in vipd.service vipd-commands.socket vipd-commands.service vipd-handover.service; do
  sed -e "s|/usr/sbin/vipd|$prefix/sbin/vipd|; s|/usr/bin/vipctl|$prefix/bin/vipctl|; s|/etc/vipd/|$etc/vipd/|" \
    "$here/$name" >"$unit"
  put 644 "$unit" "$prefix/lib/systemd/system/$name"
done
put 644 "$here/sysusers.conf" "$prefix/lib/sysusers.d/vipd.conf"

# Never overwrite configs and keys: they belong to the operator.
install -d -m 755 "$root$etc/vipd"
put 644 "$here/vipd.toml" "$prefix/share/doc/vipd/vipd.toml"
for hook in "$here"/hooks/*; do
  put 755 "$hook" "$prefix/share/vipd/hooks/${hook##*/}"
done
for file in "$here"/prometheus/*.yml "$here"/grafana/*.json; do
  [ -e "$file" ] && put 644 "$file" "$prefix/share/vipd/${file#"$here"/}"
done

# vipctl prints its own completion scripts.
install -d -m 755 "$root$prefix/share/bash-completion/completions" \
  "$root$prefix/share/fish/vendor_completions.d" "$root$prefix/share/zsh/site-functions"
"$vipctl" completion bash >"$root$prefix/share/bash-completion/completions/vipctl"
"$vipctl" completion zsh >"$root$prefix/share/zsh/site-functions/_vipctl"
"$vipctl" completion fish >"$root$prefix/share/fish/vendor_completions.d/vipctl.fish"
for page in "$here"/man/*.[1-9]; do
  [ -e "$page" ] && put 644 "$page" "$prefix/share/man/man${page##*.}/${page##*/}"
done
exit 0
