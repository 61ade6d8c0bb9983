// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vipd/agent/control/api"
)

// comparedGroups is how many groups are shown side by side; those that differ come first.
const comparedGroups = 256

// comparison shows several nodes side by side.
type comparison struct {
	Columns     []column
	Lines       []line
	Differences []fault
	// Class is the style of the worst difference.
	Class string
	// More groups are not shown.
	More int
}

// column is one node; Small says where its data come from if it has no URL.
type column struct{ Name, URL, Small string }

type line struct {
	Name    string
	Cells   []cell
	Differs bool
}

type cell struct {
	Text, Small string
	Look        look
}

// compare compares this node, which comes first, with the others.
func compare(snap *snapshot, others []other) comparison {
	all := append([]other{newOther("", &snap.status)}, others...)
	c := comparison{}
	for i := range all {
		col := column{Name: all[i].name(), URL: all[i].url, Small: "this node"}
		if i > 0 {
			col.Small = "by its reports"
		}
		c.Columns = append(c.Columns, col)
		c.reports(&all[i])
		if all[i].status == nil {
			c.differ(critical, "not reachable", "Cannot read the status of "+all[i].name()+": "+all[i].problem)
		}
	}
	c.facts(all)
	var equal []line
	groups := everyGroup(all)
	for _, g := range groups {
		l := c.group(all, g)
		if l.Differs {
			c.Lines = append(c.Lines, l)
		} else {
			equal = append(equal, l)
		}
	}
	c.Lines = append(c.Lines, equal...)
	if n := len(c.Lines) - comparedGroups; n > 0 {
		c.Lines, c.More = c.Lines[:comparedGroups], n
	}
	slices.SortStableFunc(c.Differences, func(a, b fault) int { return int(b.Severity) - int(a.Severity) })
	c.Class = "ok"
	if len(c.Differences) > 0 {
		c.Class = c.Differences[0].Severity.Class()
	}
	return c
}

func (c *comparison) differ(s severity, badge, cause string) {
	c.Differences = append(c.Differences, fault{s, badge, cause})
}

// facts compares the nodes apart from their groups.
func (c *comparison) facts(all []other) {
	add := func(name string, of func(*api.Status) cell) line {
		l := line{Name: name}
		values := map[string]bool{}
		for i := range all {
			if all[i].status == nil {
				l.Cells = append(l.Cells, cell{Text: "?"})
				continue
			}
			v := of(all[i].status)
			values[v.Text] = true
			l.Cells = append(l.Cells, v)
		}
		l.Differs = len(values) > 1
		return l
	}
	version := add("Version", func(s *api.Status) cell { return cell{Text: s.Version} })
	if version.Differs {
		c.differ(notice, "versions", "The nodes run different versions of vipd.")
	}
	preempt := add("Preempt", func(s *api.Status) cell { return cell{Text: word(s.Preempt, "on", "off")} })
	if preempt.Differs {
		c.differ(warning, "preempt",
			"Preemption is on for one node and off for another: the MASTER depends on which node started last.")
	}
	enabled := add("CARP", func(s *api.Status) cell { return cell{Text: word(s.Enabled, "enabled", "DISABLED")} })
	if enabled.Differs {
		c.differ(warning, "disabled", "CARP is disabled on a node: it cannot take over.")
	}
	maintenance := add("Maintenance", func(s *api.Status) cell { return cell{Text: word(s.Maintenance, "on", "off")} })
	maintenance.Differs = false // a difference is normal during maintenance
	demotion := add("Demotion", func(s *api.Status) cell {
		var names []string
		for _, d := range s.Demotions {
			names = append(names, d.Name)
		}
		return cell{Text: strconv.Itoa(s.Demotion), Small: strings.Join(names, ", ")}
	})
	demotion.Differs = false
	inMaintenance := 0
	for i := range all {
		if all[i].status != nil && all[i].status.Maintenance {
			inMaintenance++
		}
	}
	if inMaintenance > 1 && inMaintenance == len(all) {
		maintenance.Differs = true
		c.differ(warning, "all in maintenance",
			"All nodes are in maintenance mode: none is preferred, so the mode has no effect.")
	}
	c.Lines = append(c.Lines, version, enabled, maintenance, demotion, preempt)
}

func word(on bool, yes, no string) string {
	if on {
		return yes
	}
	return no
}

// everyGroup returns each group once, in the order of the first node that has it.
func everyGroup(all []other) []*api.Group {
	var out []*api.Group
	for i := range all {
		if all[i].status == nil {
			continue
		}
		for j := range all[i].status.Groups {
			g := &all[i].status.Groups[j]
			known := false
			for k := range i {
				if _, ok := all[k].match(g); ok {
					known = true
					break
				}
			}
			if !known {
				out = append(out, g)
			}
		}
	}
	return out
}

// group compares one group on all nodes.
func (c *comparison) group(all []other, g *api.Group) line {
	l := line{Name: g.Name}
	found := make([]*api.Group, 0, len(all))
	var missing, names []string
	asked := 0
	for i := range all {
		if all[i].status == nil {
			l.Cells = append(l.Cells, cell{Text: "?"})
			continue
		}
		if !all[i].reported {
			asked++
		}
		x, ok := all[i].match(g)
		if !ok && all[i].reported {
			l.Cells = append(l.Cells, cell{Text: "no report"})
			continue
		}
		if !ok {
			missing = append(missing, all[i].name())
			l.Cells = append(l.Cells, cell{Text: "not configured"})
			continue
		}
		if !all[i].reported {
			found = append(found, x)
			names = append(names, all[i].name())
		}
		small := fmt.Sprintf("%d/%d", x.AdvBase, x.AdvSkew)
		if x.EffectiveAdvSkew != x.AdvSkew {
			small += fmt.Sprintf(" → %d/%d", x.AdvBase, x.EffectiveAdvSkew)
		}
		l.Cells = append(l.Cells, cell{Look: lookOf(x), Small: small + " · " + addressList(x.Addresses)})
	}
	before := len(c.Differences)
	if len(missing) > 0 {
		c.differ(warning, "missing group",
			g.Name+" is not configured on "+strings.Join(missing, ", ")+", which cannot take it over.")
	}
	c.owners(g.Name, found, names, asked == len(all))
	c.values(g.Name, found, names)
	l.Differs = len(c.Differences) > before
	return l
}

// owners checks that exactly one node is MASTER.
func (c *comparison) owners(name string, found []*api.Group, nodes []string, all bool) {
	var masters []string
	for i, x := range found {
		if x.State == api.StateMaster && x.Dataplane.Answering {
			masters = append(masters, nodes[i])
		}
	}
	switch {
	case len(masters) > 1:
		c.differ(critical, "two masters", name+" is MASTER on "+strings.Join(masters, " and ")+
			": the nodes do not hear each other, or their passwords or address lists differ.")
	case len(masters) == 0 && all && len(found) > 0:
		c.differ(critical, "no master", "No node answers for "+name+".")
	}
}

// values checks the settings of a group that must be the same, or must differ, on its nodes.
func (c *comparison) values(name string, found []*api.Group, nodes []string) {
	for i := 1; i < len(found); i++ {
		a, b := found[0], found[i]
		pair := nodes[0] + " and " + nodes[i]
		if !sameAddresses(a.Addresses, b.Addresses) {
			c.differ(critical, "addresses", fmt.Sprintf(
				"%s has different addresses on %s (%s; %s): the nodes refuse each other's advertisements.",
				name, pair, addressList(a.Addresses), addressList(b.Addresses)))
		}
		if a.AdvBase != b.AdvBase {
			c.differ(notice, "advbase", fmt.Sprintf("%s has advbase %d on %s and %d on %s.",
				name, a.AdvBase, nodes[0], b.AdvBase, nodes[i]))
		} else if a.AdvSkew == b.AdvSkew {
			c.differ(notice, "equal skew", fmt.Sprintf("%s has the same advskew (%d) on %s: neither is preferred.",
				name, a.AdvSkew, pair))
		}
	}
}

func sameAddresses(a, b []string) bool {
	set := func(list []string) []string {
		out := make([]string, len(list))
		for i, s := range list {
			out[i], _, _ = strings.Cut(s, "/") // the signature does not cover prefix lengths
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(set(a), set(b))
}
