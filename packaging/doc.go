// SPDX-License-Identifier: Apache-2.0

// Package packaging holds what is installed besides the binaries: the reference config, the systemd units, example
// hooks, alert rules and a dashboard. Its tests compare them with the code.
package packaging
