// SPDX-License-Identifier: Apache-2.0

// Package tests holds the integration tests: real daemons, real peers, real frames, in network namespaces.
package tests
