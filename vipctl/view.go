// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"vipd/agent/control/api"
)

// statusWord is the state as people read it. INIT always carries its reason, and a
// MASTER that the kernel keeps silent is not called one without a word.
func statusWord(g *api.Group) cell {
	switch {
	case g.State == api.StateInit && g.Reason == api.ReasonDisabled:
		return cell{"DISABLED", red}
	case g.State == api.StateInit && g.Reason != "":
		return cell{"INIT (" + g.Reason + ")", red}
	case g.State == api.StateMaster && !g.Dataplane.Answering:
		return cell{"MASTER (not answering)", red}
	case g.State == api.StateMaster:
		return cell{g.State, green}
	case g.State == api.StateBackup:
		return cell{g.State, yellow}
	}
	return cell{g.State, red}
}

// statusCell adds the symbol that tells the states apart without colour.
func (p *program) statusCell(g *api.Group) cell {
	c := statusWord(g)
	if !p.symbols {
		return c
	}
	symbol := "✕ "
	switch {
	case c.text == api.StateMaster:
		symbol = "▶ "
	case c.text == api.StateBackup:
		symbol = "‖ "
	case g.State == api.StateMaster:
		symbol = "! "
	case c.text != "DISABLED":
		symbol = "? "
	}
	c.text = symbol + c.text
	return c
}

// sortGroups orders by interface (eth2 before eth10), then VHID.
func sortGroups(groups []api.Group) {
	slices.SortStableFunc(groups, func(a, b api.Group) int {
		return cmp.Or(natural(a.Interface, b.Interface), cmp.Compare(a.VHID, b.VHID))
	})
}

// natural compares runs of digits by their value.
func natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		n, m := digits(x), digits(y)
		if n > 0 && m > 0 {
			dx, dy := strings.TrimLeft(x[:n], "0"), strings.TrimLeft(y[:m], "0")
			if c := cmp.Or(cmp.Compare(len(dx), len(dy)), cmp.Compare(dx, dy)); c != 0 {
				return c
			}
			x, y = x[n:], y[m:]
			continue
		}
		if c := cmp.Compare(x[0], y[0]); c != 0 {
			return c
		}
		x, y = x[1:], y[1:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// skew is the configured advskew, and the effective one where it differs.
func skew(g *api.Group) string {
	s := fmt.Sprintf("%d/%d", g.AdvBase, g.AdvSkew)
	if g.EffectiveAdvSkew != g.AdvSkew {
		s += fmt.Sprintf(" -> %d/%d", g.AdvBase, g.EffectiveAdvSkew)
	}
	return s
}

// masterName is who owns the group as far as this node knows.
func masterName(g *api.Group) string {
	switch {
	case g.State == api.StateMaster:
		return "this node"
	case g.State == api.StateBackup && g.Master != nil:
		return g.Master.Address
	}
	return "-"
}

// lastHeard is the last foreign speaker.
func lastHeard(g *api.Group, now time.Time) string {
	if g.Master == nil {
		return "never"
	}
	s := ago(g.Master.LastSeen, now)
	if g.State != api.StateBackup {
		s += " (" + g.Master.Address + ")"
	}
	return s
}

// masterHeard is who owns the group, and when a foreign owner spoke last.
func masterHeard(g *api.Group, now time.Time) string {
	name := masterName(g)
	if g.State == api.StateBackup && g.Master != nil {
		name += ", " + ago(g.Master.LastSeen, now)
	}
	return name
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// statusView draws the status for people: the table, and below it what is not as
// usual and what to do about it.
func (p *program) statusView(st *api.Status, wide bool) string {
	notes := p.notes(st)
	if len(st.Groups) == 0 {
		text := fmt.Sprintf("No virtual IPs are configured on %s. Write a [[vip]] into vipd.toml (packaging/vipd.toml shows every key) and run `vipctl reload`.\n", orDash(st.Node))
		return text + below(notes)
	}
	var t table
	header := []cell{plain("INTERFACE"), plain("VIRTUAL IP"), plain("STATUS")}
	switch {
	case wide:
		for _, h := range []string{"SINCE", "BASE/SKEW", "MASTER", "LAST HEARD", "ANSWERING", "MODE", "DESCRIPTION"} {
			header = append(header, plain(h))
		}
	case p.tty: // for people there is room for what they ask next; scripts have wide and json
		header = append(header, plain("BASE/SKEW"), plain("MASTER"))
	}
	t.add(header...)
	now := p.env.Now()
	for i := range st.Groups {
		g := &st.Groups[i]
		addresses := g.Addresses
		if len(addresses) == 0 {
			addresses = []string{"-"}
		}
		for _, a := range addresses {
			row := []cell{plain(g.Name), plain(a), p.statusCell(g)}
			switch {
			case wide:
				for _, s := range []string{
					stamp(g.Since, now), skew(g), masterName(g), lastHeard(g, now),
					yesNo(g.Dataplane.Answering), orDash(g.Dataplane.Mode), g.Description,
				} {
					row = append(row, plain(s))
				}
			case p.tty:
				row = append(row, plain(skew(g)), plain(masterHeard(g, now)))
			}
			t.add(row...)
		}
	}
	return t.String(p.colour) + below(notes)
}

// below sets notes off from the table.
func below(notes []string) string {
	if len(notes) == 0 {
		return ""
	}
	return "\n" + strings.Join(notes, "\n") + "\n"
}

// notes are the sentences under the table.
func (p *program) notes(st *api.Status) []string {
	now := p.env.Now()
	var out []string
	if !st.Enabled {
		out = append(out, paint(cell{"This node is DISABLED", red}, p.colour)+": it holds no virtual IP until `vipctl enable` or a reboot.")
	}
	if st.Maintenance {
		out = append(out, paint(cell{"This node is in MAINTENANCE", yellow}, p.colour)+": it asks the others to take over, also after a reboot, until `vipctl maintenance leave`.")
		if still := mastersOf(st); len(still) > 0 && st.Enabled {
			out = append(out, "  Still MASTER here: "+strings.Join(still, ", ")+".")
		}
	}
	for _, d := range st.Demotions {
		if d.Name == api.MaintenanceDemotion {
			continue
		}
		left := ""
		if !d.Expires.IsZero() {
			left = ", " + age(d.Expires.Sub(now)) + " left"
		}
		out = append(out, fmt.Sprintf("Demoted by %d for %s%s (%s): %s", d.Value, age(now.Sub(d.Since)), left, d.Name, orDash(d.Reason)))
	}
	if len(st.Demotions) > 1 {
		out = append(out, fmt.Sprintf("Demotion in all: %d.", st.Demotion))
	}
	for i := range st.Groups {
		g := &st.Groups[i]
		if g.Detail != "" && (st.Enabled || g.Reason != api.ReasonDisabled) {
			out = append(out, g.Name+": "+g.Detail)
		}
		if g.SilentFamily != "" {
			out = append(out, fmt.Sprintf("%s: the master is not heard over %s, only over the other family: look for a filter or a switch that holds it back.", g.Name, familyText(g.SilentFamily)))
		}
	}
	if hint := doctorHint(st.Groups); hint != "" {
		out = append(out, hint)
	}
	for i := range st.Groups {
		if g := &st.Groups[i]; g.Dataplane.AnswersUnseen {
			out = append(out, g.Name+": a client goes on asking for an address as if it saw none of our answers: see `vipctl doctor`.")
		}
	}
	for _, w := range st.Warnings {
		out = append(out, "Warning: "+w)
	}
	if st.Version != "" && st.Version != api.Version {
		out = append(out, fmt.Sprintf("vipd is version %s and vipctl %s: restart the one that was upgraded.", st.Version, api.Version))
	}
	return out
}

// familyText is a family as people write it.
func familyText(family string) string {
	switch family {
	case api.FamilyIPv4:
		return "IPv4"
	case api.FamilyIPv6:
		return "IPv6"
	}
	return family
}

// mastersOf lists the groups that have not moved, and why if that can be known.
func mastersOf(st *api.Status) []string {
	var out []string
	for i := range st.Groups {
		g := &st.Groups[i]
		if g.State != api.StateMaster {
			continue
		}
		if g.Master == nil {
			out = append(out, g.Name+" (no other node was heard)")
		} else {
			out = append(out, g.Name)
		}
	}
	return out
}

// degraded returns why a monitor should complain, in words, or nothing.
func degraded(st *api.Status) []string {
	var why []string
	if !st.Enabled {
		why = append(why, "this node is disabled")
	}
	if st.Maintenance {
		why = append(why, "this node is in maintenance")
	}
	for _, d := range st.Demotions {
		if d.Name != api.MaintenanceDemotion && d.Value > 0 && st.Demotion > 0 {
			why = append(why, fmt.Sprintf("this node is demoted by %d (%s)", d.Value, d.Name))
		}
	}
	if len(st.Demotions) == 0 && st.Demotion > 0 {
		why = append(why, fmt.Sprintf("this node is demoted by %d", st.Demotion))
	}
	for i := range st.Groups {
		g := &st.Groups[i]
		bad := g.State != api.StateBackup && (g.State != api.StateMaster || !g.Dataplane.Answering)
		if bad && (st.Enabled || g.Reason != api.ReasonDisabled) {
			why = append(why, g.Name+" is "+statusWord(g).text)
		}
	}
	return why
}

// doctorHint names what the counters say is wrong. A group in INIT tells why by itself.
func doctorHint(groups []api.Group) string {
	var parts []string
	for i := range groups {
		if g := &groups[i]; len(g.Faults) > 0 && g.State != api.StateInit {
			parts = append(parts, g.Name+" ("+strings.Join(g.Faults, ", ")+")")
		}
	}
	if parts == nil {
		return ""
	}
	return "Something is wrong with " + strings.Join(parts, ", ") + ": run `vipctl doctor`."
}
