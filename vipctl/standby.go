// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

// faultNoStandby is the doctor's code of a group that lost its standby.
const faultNoStandby = "no_standby"

// standby is the best node that would take the group over, and how many more there are. On a terminal, which would wrap
// the line, [program.standbyNotes] has the reason why it is unknown.
func (p *program) standby(g *api.Group, wide bool) string {
	switch n := len(g.Standbys); {
	case n == 1:
		return g.Standbys[0].Label()
	case n > 1:
		return fmt.Sprintf("%s (+%d)", g.Standbys[0].Label(), n-1)
	case g.StandbysUnknown != "" && p.tty && !wide:
		return "unknown"
	case g.StandbysUnknown != "":
		return "unknown: " + g.StandbysUnknown
	case slices.Contains(g.Faults, faultNoStandby):
		return p.paint(yellow, "none")
	case g.State == api.StateMaster:
		return "none" // as is right for a single node
	}
	return "-"
}

// standbyLines add every node that would take the group over.
func (p *program) standbyLines(t *table, g *api.Group) {
	for i := range g.Standbys {
		s := &g.Standbys[i]
		text := fmt.Sprintf("%s from %s, takes over in %s, heard %s",
			s.Label(), s.Address, span(s.TakesOverIn), p.ago(s.LastSeen))
		if s.Maintenance {
			text += ", in maintenance mode"
		} else if s.Demotion > 0 {
			text += fmt.Sprintf(", demoted by %d", s.Demotion)
		}
		if !s.Preempt {
			text += ", does not preempt"
		}
		t.add("Standby", text)
	}
	switch {
	case len(g.Standbys) > 0:
	case g.StandbysUnknown != "":
		t.add("Standby", "unknown: "+g.StandbysUnknown)
	case g.State == api.StateMaster:
		t.add("Standby", "none: no vipd node reports that it would take over")
	}
	for _, d := range g.Differences {
		t.add("Difference", d.Text)
	}
}

// standbyNotes are the sentences on standbys, and on how the nodes differ.
func (p *program) standbyNotes(groups []api.Group, wide bool) []string {
	var s sentences
	for i := range groups {
		g := &groups[i]
		if g.StandbysUnknown != "" && p.tty && !wide {
			s.add(g.Name, "the standby is unknown: "+g.StandbysUnknown)
		}
		for _, d := range g.Differences {
			s.add(g.Name, d.Text)
		}
	}
	return s.lines()
}

// sentences are each said once for all groups that they concern.
type sentences struct {
	texts []string
	of    map[string][]string
}

func (s *sentences) add(group, text string) {
	if s.of == nil {
		s.of = map[string][]string{}
	}
	if s.of[text] == nil {
		s.texts = append(s.texts, text)
	}
	s.of[text] = append(s.of[text], group)
}

func (s *sentences) lines() []string {
	var out []string
	for _, text := range s.texts {
		out = append(out, someOf(s.of[text])+": "+text)
	}
	return out
}

// someOf joins names, and shortens a list that is too long to read.
func someOf(names []string) string {
	const most = 4
	if more := len(names) - most; more > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

// foretell says, before a command acts, which node will take over the groups that are MASTER here, or that none would:
// all groups, or the one named. It never fails: the command itself reports an error. With -o json, stdout is for the
// answer alone.
func (p *program) foretell(c *cli.Context, group string, goodbye bool, idle func(*api.Status) bool) {
	st, err := p.client(c).Status(c.Context)
	if err != nil || idle(&st) {
		return
	}
	sortGroups(st.Groups)
	var s sentences
	for i := range st.Groups {
		g := &st.Groups[i]
		if g.State != api.StateMaster || group != "" && g.Name != group {
			continue
		}
		text, fate := g.Successor(goodbye)
		if fate == api.FateNone {
			text = p.paint(yellow, text)
		}
		s.add(g.Name, text)
	}
	say := func(line string) { p.printf("%s\n", line) }
	if wantsJSON(c) {
		say = func(line string) { p.warn("%s", line) }
	}
	if s.texts == nil && group == "" && len(st.Groups) > 0 {
		say("this node is MASTER of no group: no address moves")
	}
	for _, line := range s.lines() {
		say(line)
	}
}
