// SPDX-License-Identifier: Apache-2.0

package sim

// TracedHash is the hash of a run with its trace on.
func (s Scenario) TracedHash() uint64 { return newWorld(s, true).live().Hash }

// Attacks are the faults of an attacker who has no key.
const Attacks = FaultSet(1<<faultGarbage | 1<<faultReplay | 1<<faultForge)

// Kinds counts the faults by name.
func (s Stats) Kinds() map[string]int {
	m := map[string]int{}
	for k := range faultKinds {
		m[k.String()] = s.ByKind[k]
	}
	return m
}
