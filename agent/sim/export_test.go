// SPDX-License-Identifier: Apache-2.0

package sim

// TracedHash returns the hash of a run with traces.
func (s Scenario) TracedHash() uint64 { return newWorld(s, true).live().Hash }

// Attacks are the faults of an attacker without the key.
const Attacks = FaultSet(1<<faultGarbage | 1<<faultReplay | 1<<faultForge | 1<<faultTape)

// Kinds returns the number of faults by name.
func (s Stats) Kinds() map[string]int {
	m := map[string]int{}
	for k := range faultKinds {
		m[k.String()] = s.ByKind[k]
	}
	return m
}
