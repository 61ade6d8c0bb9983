// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"
)

// settings are the settings of vipd that other daemons have, too.
type settings struct {
	tool, source string
	nodeName     string
	preempt      *bool // nil is the default
	preemptDelay time.Duration
	deadRatio    float64 // 0 is the default
	groups       []*group
	checks       []check
}

// group is one [[vip]].
type group struct {
	at           origin
	ifname       string
	vhid         int
	addresses    []netip.Prefix
	advbase      int
	advskew      int
	description  string
	peers        []netip.Addr
	broadcast    bool
	passwordFile string
}

func (g *group) name() string { return g.ifname + "@" + strconv.Itoa(g.vhid) }

// check is one [[check]].
type check struct {
	at                origin
	name, kind        string
	target            string
	command           []string
	interval, timeout time.Duration
	rise, fall        int
	demotion          int
}

// keyFile is the password_file of the group.
func (r *reader) keyFile(g *group) string {
	return path.Join(r.opts.KeyDir, strings.ReplaceAll(g.ifname, "/", "-")+"-"+strconv.Itoa(g.vhid)+".key")
}

// checkTogether checks groups and checks against each other, as vipd does.
func (s *settings) checkTogether(r *reader) {
	groups := map[string]*group{}
	owner := map[string]*group{}
	for _, g := range s.groups {
		if first, twice := groups[g.name()]; twice {
			r.problem(g.at,
				"%s is already defined (%s line %d): vipd has one group for each interface and vhid, with all its addresses; "+
					"change one vhid", g.name(), first.at.file, first.at.line)
		}
		groups[g.name()] = g
		for _, a := range g.addresses {
			place := g.ifname + " " + a.Addr().String()
			if first, twice := owner[place]; twice && first != g {
				r.problem(g.at, "%s is already an address of %s", a.Addr(), first.name())
			}
			owner[place] = g
		}
	}
	names := map[string]bool{}
	for _, c := range s.checks {
		if names[c.name] {
			r.problem(c.at, "two checks would have the name %s; rename one", c.name)
		}
		names[c.name] = true
	}
	const maxChecks = 256
	if len(s.checks) > maxChecks {
		r.problem(s.checks[maxChecks].at, "%d checks; vipd allows %d", len(s.checks), maxChecks)
	}
}

// render writes the TOML with the notes.
func (s *settings) render(r *reader) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by `vipctl import %s` from %s.\n", s.tool, clean(s.source))
	b.WriteString("# Read the notes, write the password files, then run `vipctl config check` on this file.\n")
	for _, n := range r.notes {
		fmt.Fprintf(&b, "# Note, %s\n", n)
	}
	if s.nodeName != "" {
		fmt.Fprintf(&b, "\n[node]\nname = %s\n", quote(s.nodeName))
	}
	if s.preempt != nil || s.preemptDelay > 0 || s.deadRatio > 0 {
		b.WriteString("\n[carp]\n")
		if s.preempt != nil {
			fmt.Fprintf(&b, "preempt = %v\n", *s.preempt)
		}
		if s.preemptDelay > 0 {
			fmt.Fprintf(&b, "preempt_delay = %s\n", quote(durationText(s.preemptDelay)))
		}
		if s.deadRatio > 0 {
			fmt.Fprintf(&b, "dead_ratio = %s\n", strconv.FormatFloat(s.deadRatio, 'f', 1, 64))
		}
	}
	for _, g := range s.groups {
		b.WriteString(g.render())
	}
	for i := range s.checks {
		b.WriteString(s.checks[i].render())
	}
	return b.String()
}

func (g *group) render() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n[[vip]] # %s:%d\n", clean(g.at.file), g.at.line)
	fmt.Fprintf(&b, "interface = %s\nvhid = %d\naddresses = [%s]\n", quote(g.ifname), g.vhid, quoteAll(g.addresses))
	fmt.Fprintf(&b, "advbase = %d\nadvskew = %d\n", g.advbase, g.advskew)
	if g.description != "" {
		fmt.Fprintf(&b, "description = %s\n", quote(g.description))
	}
	fmt.Fprintf(&b, "password_file = %s\n", quote(g.passwordFile))
	if len(g.peers) > 0 {
		fmt.Fprintf(&b, "peers = [%s]\n", quoteAll(g.peers))
	}
	if g.broadcast {
		b.WriteString("broadcast = true\n")
	}
	return b.String()
}

func (c *check) render() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n[[check]] # %s:%d\nname = %s\ntype = %s\n",
		clean(c.at.file), c.at.line, quote(c.name), quote(c.kind))
	if c.target != "" {
		fmt.Fprintf(&b, "target = %s\n", quote(c.target))
	}
	if len(c.command) > 0 {
		fmt.Fprintf(&b, "command = [%s]\n", quoteList(c.command))
	}
	if c.interval > 0 {
		fmt.Fprintf(&b, "interval = %s\ntimeout = %s\n", quote(durationText(c.interval)), quote(durationText(c.timeout)))
	}
	fmt.Fprintf(&b, "rise = %d\nfall = %d\ndemotion = %d\n", c.rise, c.fall, c.demotion)
	return b.String()
}

func quoteAll[T fmt.Stringer](list []T) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = v.String()
	}
	return quoteList(texts)
}

func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return strings.Join(quoted, ", ")
}

// durationText formats an hour as 1h, not 1h0m0s. agent/config has the same function, but both may
// import only the control API, which is not the place for it.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// quote formats a basic string of TOML.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range strings.ToValidUTF8(s, "?") {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < 0x20 || c == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
