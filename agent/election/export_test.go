// SPDX-License-Identifier: Apache-2.0

package election

// Reasons returns all valid reasons.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonEnd-1)
	for r := ReasonStartup; r < reasonEnd; r++ {
		all = append(all, r)
	}
	return all
}
