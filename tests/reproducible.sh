#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves that what `make dist` writes depends on the source alone (make check-dist): builds it here and in a copy of the
# tree elsewhere, with a build cache, umask, time zone and language of its own, and compares every byte. Then it shows
# that the comparison can fail: a build with another SOURCE_DATE_EPOCH has to differ in every file.
# DIRECTORY, if given, keeps the first build.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "check-dist: $*"; }
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
kept=${1:-$work/kept}

say "building in $PWD"
packaging/dist.sh "$kept"

# Tags are those of the clone; what is not committed comes along.
copy=$work/elsewhere/a-longer-name
say "building in $copy"
(
  umask 077
  git -c safe.directory="$PWD" clone -q --no-hardlinks . "$copy"
  git -c safe.directory="$PWD" ls-files -z --modified --others --exclude-standard |
    while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
    tar --null -T - -cf - | tar -C "$copy" -xf -
  # Building the tools again, too, would take most of the time.
  TOOLS_GOCACHE=$(go env GOCACHE) GOMODCACHE=$(go env GOMODCACHE)
  export TOOLS_GOCACHE GOMODCACHE GOCACHE=$work/cache HOME=$work TMPDIR=$work GOFLAGS=-buildvcs=true GOAMD64=v3 \
    TZ=Asia/Kolkata LC_ALL=C.UTF-8
  env -u VERSION "$copy/packaging/dist.sh" "$work/again"
)

differ=0
for file in "$kept"/*; do cmp "$file" "$work/again/${file##*/}" || differ=1; done
diff <(ls "$kept") <(ls "$work/again") || differ=1
if [ $differ = 1 ]; then
  say "two builds of one source differ, see above" >&2
  exit 1
fi

say "building with another time, which has to make a difference"
stamp=$(packaging/build.sh --env)
eval "$stamp"
SOURCE_DATE_EPOCH=$((SOURCE_DATE_EPOCH + 60)) VERSION=$VERSION packaging/dist.sh "$work/later" >/dev/null
for file in "$kept"/*; do
  case $file in *licenses.txt) continue ;; esac # no time in it
  [ -e "$work/later/${file##*/}" ] || { say "${file##*/} is not made again" >&2; exit 1; }
  if cmp -s "$file" "$work/later/${file##*/}"; then
    say "${file##*/} is the same with another time: this comparison cannot fail" >&2
    exit 1
  fi
done
say "two builds are the same: $(find "$kept" -type f | wc -l) files"
