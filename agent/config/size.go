// SPDX-License-Identifier: Apache-2.0

package config

// Size is how many groups and addresses there are, or can be.
type Size struct{ Groups, Addresses int }

// Size returns how many groups and addresses the config has.
func (c *Config) Size() Size {
	s := Size{Groups: len(c.Groups)}
	for i := range c.Groups {
		s.Addresses += len(c.Groups[i].Addresses)
	}
	return s
}

// DuringReload returns how much the data plane holds at most during a reload from c to next: a group that is removed
// stays until it has said goodbye.
func (c *Config) DuringReload(next *Config) Size {
	s, kept := next.Size(), next.byName()
	for i := range c.Groups {
		old := &c.Groups[i]
		if now := kept[groupKey{old.Interface, old.VHID}]; now == nil {
			s.Groups++
			s.Addresses += len(old.Addresses)
		} else {
			s.Addresses += max(0, len(old.Addresses)-len(now.Addresses))
		}
	}
	return s
}

// Within reports whether there is room for as much.
func (s Size) Within(room Size) bool { return s.Groups <= room.Groups && s.Addresses <= room.Addresses }
