// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

// Changes is the work of a reload. A group in none of the lists must not be touched.
type Changes struct {
	Added, Removed []Group
	Changed        []GroupChange
	// Global are changed keys outside the groups that take effect at once, such as
	// carp.preempt.
	Global []string
	// NeedRestart are changed keys that take effect only after a restart, such as
	// control.socket.
	NeedRestart []string
}

// GroupChange is a group with changed values.
type GroupChange struct {
	Old, New Group
	// Fields are the changed keys in the order of the reference config.
	Fields []string
}

// Diff compares two configs. Groups are matched by name; the order of groups, addresses and peers
// is ignored.
func Diff(before, after *Config) Changes {
	var c Changes
	// A map, since a reload runs in the daemon's loop and there may be thousands of groups.
	was, will := before.byName(), after.byName()
	for _, g := range before.Groups {
		now, ok := will[groupKey{g.Interface, g.VHID}]
		if !ok {
			c.Removed = append(c.Removed, g)
			continue
		}
		if fields := groupDiff(g, *now); len(fields) > 0 {
			c.Changed = append(c.Changed, GroupChange{Old: g, New: *now, Fields: fields})
		}
	}
	for _, g := range after.Groups {
		if _, ok := was[groupKey{g.Interface, g.VHID}]; !ok {
			c.Added = append(c.Added, g)
		}
	}
	c.Global, c.NeedRestart = globalDiff(before, after)
	return c
}

// groupKey is the name of a group without its allocation.
type groupKey struct {
	ifname string
	vhid   uint8
}

func (c *Config) byName() map[groupKey]*Group {
	out := make(map[groupKey]*Group, len(c.Groups))
	for i := range c.Groups {
		out[groupKey{c.Groups[i].Interface, c.Groups[i].VHID}] = &c.Groups[i]
	}
	return out
}

// field is one comparison.
type field struct {
	key     string
	changed bool
}

func changedKeys(fields []field) []string {
	var keys []string
	for _, f := range fields {
		if f.changed {
			keys = append(keys, f.key)
		}
	}
	return keys
}

func groupDiff(a, b Group) []string {
	return changedKeys([]field{
		{"addresses", !sameSet(a.Addresses, b.Addresses)},
		{"advbase", a.AdvBase != b.AdvBase},
		{"advskew", a.AdvSkew != b.AdvSkew},
		{"beat", a.Beat != b.Beat},
		{"description", a.Description != b.Description},
		{"password", a.Password != b.Password},
		{"peers", !sameSet(a.Peers, b.Peers)},
		{"hook", a.Hook != b.Hook},
		{"hook_timeout", a.HookTimeout != b.HookTimeout},
		{"digest", a.Digest != b.Digest},
		{"lladdr", !samePointed(a.LLAddr, b.LLAddr)},
		{"peer_ttl", a.PeerTTL != b.PeerTTL},
		{"broadcast", a.Broadcast != b.Broadcast},
		{"require_trailer", a.RequireTrailer != b.RequireTrailer},
		{"replay", a.Replay != b.Replay},
		// In order: counters name a context by its number.
		{"accept", !slices.EqualFunc(a.Accept, b.Accept, func(x, y Accept) bool {
			return x.Password == y.Password && sameSet(x.Addresses, y.Addresses)
		})},
	})
}

func samePointed[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func globalDiff(a, b *Config) (live, restart []string) {
	live = changedKeys([]field{
		{"carp.preempt", a.Carp.Preempt != b.Carp.Preempt},
		{"carp.dead_ratio", a.Carp.DeadRatio != b.Carp.DeadRatio},
		{"carp.send_demote", a.Carp.SendDemote != b.Carp.SendDemote},
		{"carp.ifdown_demotion", a.Carp.IfdownDemotion != b.Carp.IfdownDemotion},
		{"carp.senderr_demotion", a.Carp.SenderrDemotion != b.Carp.SenderrDemotion},
		{"carp.dscp", a.Carp.DSCP != b.Carp.DSCP},
		{"carp.master_down", a.Carp.MasterDown != b.Carp.MasterDown},
		{"carp.preempt_delay", a.Carp.PreemptDelay != b.Carp.PreemptDelay},
		{"carp.claim_delay", a.Carp.ClaimDelay != b.Carp.ClaimDelay},
		{"carp.peer_memory", a.Carp.PeerMemory != b.Carp.PeerMemory},
	})
	live = append(live, checksDiff(a.Checks, b.Checks)...)
	restart = changedKeys([]field{
		{"node.name", a.Node.Name != b.Node.Name},
		{"node.state_dir", a.Node.StateDir != b.Node.StateDir},
		{"node.runtime_dir", a.Node.RuntimeDir != b.Node.RuntimeDir},
		{"node.bpf_dir", a.Node.BPFDir != b.Node.BPFDir},
		{"control.socket", a.Control.Socket != b.Control.Socket},
		{"control.group", a.Control.Group != b.Control.Group},
		{"http.listen", a.HTTP.Listen != b.HTTP.Listen},
		{"http.controls", a.HTTP.Controls != b.HTTP.Controls},
		{"http.token_file", a.HTTP.TokenFile != b.HTTP.TokenFile || a.HTTP.Token != b.HTTP.Token},
		{"http.hosts", !slices.Equal(a.HTTP.Hosts, b.HTTP.Hosts)},
		{"web.widget_origins", !slices.Equal(a.Web.WidgetOrigins, b.Web.WidgetOrigins)},
		{"web.nodes", !slices.Equal(a.Web.Nodes, b.Web.Nodes)},
		{"xdp.mode", a.XDP.Mode != b.XDP.Mode},
		{"record.memory", a.Record.Memory != b.Record.Memory},
		{"record.incidents", a.Record.Incidents != b.Record.Incidents},
		{"record.save", a.Record.Save != b.Record.Save},
	})
	return live, restart
}

// checksDiff names the checks that came, went or changed, as check.NAME.
func checksDiff(before, after []Check) []string {
	byName := make(map[string]Check, len(after))
	for _, c := range after {
		byName[c.Name] = c
	}
	var keys []string
	for _, c := range before {
		if now, ok := byName[c.Name]; !ok || !now.Equal(c) {
			keys = append(keys, "check."+c.Name)
		}
		delete(byName, c.Name)
	}
	for _, c := range after {
		if _, fresh := byName[c.Name]; fresh {
			keys = append(keys, "check."+c.Name)
		}
	}
	return keys
}

// sameSet compares without order; lists of a config have no duplicates.
func sameSet[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	in := make(map[T]struct{}, len(a))
	for _, v := range a {
		in[v] = struct{}{}
	}
	for _, v := range b {
		if _, ok := in[v]; !ok {
			return false
		}
	}
	return true
}
