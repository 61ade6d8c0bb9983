#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Regenerates the BPF objects and fails if they differ from the committed ones. Compares checksums, so it works without
# git.
set -euo pipefail
cd "$(dirname "$0")/.."
sums() { find loader -name '*_bpfe[lb].*' -print0 | sort -z | xargs -0r sha256sum; }
before=$(sums)
if [ -z "$before" ]; then
  echo "check-generate: loader/ holds no generated object; run 'make generate' and commit the result" >&2
  exit 1
fi
make generate
if ! diff <(echo "$before") <(sums); then
  echo "check-generate: the objects differ from what the sources produce; commit the result of 'make generate'" >&2
  exit 1
fi
