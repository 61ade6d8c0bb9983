// SPDX-License-Identifier: Apache-2.0

// Package doctor names the causes of split brain and other faults.
//
// It is pure: rules over [Facts] that somebody else has collected. What a rule has
// no facts about, it says nothing of. The passive rules need no more than a status,
// see [FromStatus]; the rest needs what was seen and asked on the wire.
package doctor
