// SPDX-License-Identifier: Apache-2.0

// Package tools has the programs that make a release, and checks of its manifests.
package tools
