#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds programs of this module and pinned tools into a directory: build.sh DIRECTORY PACKAGE...
# An SBOM has the checksum of the tool that made it, so nothing of the caller's environment ends up in their bytes.
set -euo pipefail
umask 022
out=$(realpath -m "${1:?usage: build.sh DIRECTORY PACKAGE...}")
export GOFLAGS='' GOEXPERIMENT='' GOAMD64=v1 GOARM64=v8.0 CGO_ENABLED=0 GOCACHE=${TOOLS_GOCACHE:-${GOCACHE-}}
[ -n "$GOCACHE" ] || unset GOCACHE
"${GO:-go}" -C "$(dirname "$0")" build -trimpath -buildvcs=false -o "$out/" "${@:2}"
