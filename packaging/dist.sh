#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes everything of a release into a directory; run by `make dist`: packages, image, archives of what `make install`
# installs, an SBOM (CycloneDX) of each program, the licences of what is linked into them, and SHA256SUMS of it all.
set -euo pipefail
umask 022

out=$(realpath -m "${1:?usage: dist.sh DIRECTORY}")
cd "$(dirname "$0")/.."
go=${GO:-go}
stamp=$(packaging/build.sh --env)
eval "$stamp"
export VERSION SOURCE_DATE_EPOCH

# Files of another version would end up in SHA256SUMS.
if [ -n "$(ls -A "$out" 2>/dev/null)" ]; then
  echo "dist: $out is not empty: remove them first" >&2
  exit 1
fi
packaging/package.sh "$out"
packaging/image.sh "$out"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packaging/tools/build.sh "$work" ./licences \
  github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
GOFLAGS=-tags=$TAGS "$work/licences" . ./cmd/vipd ./cmd/vipctl >"$out/vipd-$VERSION-third-party-licenses.txt"
packaging/build.sh "$work/host" "$("$go" env GOHOSTARCH)"
for arch in amd64 arm64; do
  packaging/build.sh "$work/$arch" "$arch" -s -w
  root=$work/root-$arch
  DESTDIR=$root PREFIX=/usr/local SYSCONFDIR=/etc VIPCTL=$work/host/vipctl packaging/install.sh "$work/$arch"
  install -m 644 "$out/vipd-$VERSION-third-party-licenses.txt" "$root/usr/local/share/doc/vipd/THIRD-PARTY-LICENSES"
  tar -C "$root" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - etc usr |
    gzip -n -9 >"$out/vipd-$VERSION-linux-$arch.tar.gz"
  for program in vipd vipctl; do
    # The serial number and the time would be another one in each build.
    "$work/cyclonedx-gomod" bin -json -std -noserial -notimestamp -version "$VERSION" \
      -output "$out/$program-$VERSION-linux-$arch.cdx.json" "$work/$arch/$program"
  done
done
(cd "$out" && sha256sum -- * >"$work/sums" && install -m 644 "$work/sums" SHA256SUMS)
echo "dist: $(find "$out" -type f | wc -l) files in $out; verify with: sha256sum -c SHA256SUMS"
