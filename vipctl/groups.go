// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"vipd/agent/control/api"
)

// statusWord is the state shown to people, and its colour. INIT carries its reason, and a MASTER
// that the kernel keeps silent is not called MASTER alone.
func statusWord(g *api.Group) (word, colour string) {
	switch {
	case g.State == api.StateInit && g.Reason == api.ReasonDisabled:
		return "DISABLED", red
	case g.State == api.StateInit && g.Reason != "":
		return "INIT (" + g.Reason + ")", red
	case g.State == api.StateMaster && !g.Dataplane.Answering:
		return "MASTER (not answering)", red
	}
	return g.State, stateColour(g.State)
}

func stateColour(state string) string {
	switch state {
	case api.StateMaster:
		return green
	case api.StateBackup:
		return yellow
	}
	return red
}

// status is the status word, with a symbol that conveys the state without colour.
func (p *program) statusText(g *api.Group) string {
	word, colour := statusWord(g)
	if !p.symbols {
		return p.paint(colour, word)
	}
	symbol := "✕ "
	switch {
	case word == api.StateMaster:
		symbol = "▶ "
	case word == api.StateBackup:
		symbol = "‖ "
	case g.State == api.StateMaster:
		symbol = "! "
	case word != "DISABLED":
		symbol = "? "
	}
	return p.paint(colour, symbol+word)
}

// groupNames returns the names of the groups, sorted.
func groupNames(st *api.Status) []string {
	sortGroups(st.Groups)
	names := make([]string, len(st.Groups))
	for i := range st.Groups {
		names[i] = st.Groups[i].Name
	}
	return names
}

// sortGroups sorts by interface (eth2 before eth10), then VHID.
func sortGroups(groups []api.Group) {
	slices.SortStableFunc(groups, func(a, b api.Group) int {
		return cmp.Or(natural(a.Interface, b.Interface), cmp.Compare(a.VHID, b.VHID))
	})
}

// natural compares strings with runs of digits by their value.
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

// digits counts the leading digits.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

// skew is the configured advbase/advskew, and the effective one where it differs.
func skew(g *api.Group) string {
	s := fmt.Sprintf("%d/%d", g.AdvBase, g.AdvSkew)
	if g.EffectiveAdvSkew != g.AdvSkew {
		s += fmt.Sprintf(" -> %d/%d", g.AdvBase, g.EffectiveAdvSkew)
	}
	return s
}

// masterName is the owner of the group as this node knows it.
func masterName(g *api.Group) string {
	switch {
	case g.State == api.StateMaster:
		return "this node"
	case g.State == api.StateBackup && g.Master != nil:
		return g.Master.Address
	}
	return "-"
}

func familyText(family string) string {
	switch family {
	case api.FamilyIPv4:
		return "IPv4"
	case api.FamilyIPv6:
		return "IPv6"
	}
	return family
}
