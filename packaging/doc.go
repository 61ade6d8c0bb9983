// SPDX-License-Identifier: Apache-2.0

// Package packaging is what is installed beside the binaries: the reference config, the
// systemd unit, example hooks, alert rules and a dashboard. Its tests hold them against
// the code.
package packaging
