// SPDX-License-Identifier: Apache-2.0

package config

// AfterReload returns the config that is in force after a reload to next: the values that
// only a restart can change stay.
func (c *Config) AfterReload(next *Config) *Config {
	out := *next
	out.Node, out.Control, out.HTTP, out.Web, out.XDP, out.Record = c.Node, c.Control, c.HTTP, c.Web, c.XDP, c.Record
	return &out
}

// EmptiedBy reports whether a reload to next would remove all groups.
func (c *Config) EmptiedBy(next *Config) bool { return len(c.Groups) > 0 && len(next.Groups) == 0 }
