// SPDX-License-Identifier: Apache-2.0

// Package doctor names the causes of split brain and other faults.
//
// It is pure: rules over [Facts] that the agent collects. A rule without facts finds nothing.
// Passive rules need only a status, see [FromStatus]; the others need what was seen and
// asked on the wire.
package doctor
