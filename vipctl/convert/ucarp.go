// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Ucarp converts what starts ucarp: command lines in a script, a crontab or a unit
// file, or the stanzas of Debian's /etc/network/interfaces. The error is an [*Error].
func Ucarp(f File, opts Options) (*Result, error) {
	r := newReader(opts)
	lines := logicalLines(f.Data)
	var found []*ucarp
	if slices.ContainsFunc(lines, func(l line) bool { return strings.HasPrefix(strings.TrimSpace(l.text), "iface ") }) {
		found = interfaces(r, f.Name, lines)
	} else {
		found = commandLines(r, f.Name, lines)
	}
	s := &settings{tool: "ucarp", source: f.Name}
	for _, u := range found {
		if g := u.group(r); g != nil {
			s.groups = append(s.groups, g)
		}
	}
	ucarpPreempt(r, s, found)
	ucarpDeadRatio(r, s, found)
	r.sortNotes()
	return r.finish(f.Name, s)
}

// ucarp is one ucarp as it was written; empty is what was not.
type ucarp struct {
	at                           origin
	ifname, srcip, vhid, addr    string
	password, passfile           string
	secretExpands                bool // the password is what only a shell knows
	advbase, advskew, deadratio  string
	preempt, nomcast, ignoreLink bool
	prefix                       int // of the virtual address, 0 if it is not known
	scripts                      []string
	xparam                       string
	mcast                        string
}

// group checks the values; nil if there was a problem.
func (u *ucarp) group(r *reader) *group {
	before := len(r.problems)
	g := &group{at: u.at, ifname: u.ifname, advbase: 1}
	if u.ifname == "" {
		r.problem(u.at, "no interface is named (-i), and vipd needs one: ucarp takes the first it finds")
	} else if err := checkInterface(u.ifname); err != nil {
		r.problem(u.at, "%v", err)
	}
	u.number(r, "vhid (-v)", u.vhid, 1, 255, &g.vhid)
	u.number(r, "advbase (-b)", u.advbase, 0, 254, &g.advbase)
	u.number(r, "advskew (-k)", u.advskew, 0, 254, &g.advskew)
	if u.vhid == "" {
		r.problem(u.at, "no vhid is given (-v)")
	}
	if g.advbase == 0 && g.advskew == 0 {
		r.problem(u.at, "advbase and advskew are both 0, an interval of nothing: vipd needs one of them")
	}
	u.address(r, g)
	u.secret(r, g)
	if len(r.problems) > before {
		return nil
	}
	g.broadcast = u.nomcast
	u.notes(r)
	return g
}

// number reads a number that may be left out.
func (u *ucarp) number(r *reader, what, text string, lo, hi int, dst *int) {
	if text == "" {
		return
	}
	n, err := strconv.Atoi(text)
	switch {
	case strings.ContainsAny(text, "$%"):
		r.problem(u.at, "%s is %q, which only the shell or systemd knows: write the value in its place and import again", what, text)
	case err != nil || n < lo || n > hi:
		r.problem(u.at, "%s is %q; allowed is %d..%d", what, text, lo, hi)
	default:
		*dst = n
	}
}

func (u *ucarp) address(r *reader, g *group) {
	if u.addr == "" {
		r.problem(u.at, "no virtual address is given (-a)")
		return
	}
	a, err := netip.ParseAddr(u.addr)
	if err != nil || !a.Is4() {
		r.problem(u.at, "%q is no IPv4 address", u.addr)
		return
	}
	p := host(a)
	if u.prefix > 0 {
		p = netip.PrefixFrom(a, u.prefix)
	}
	if checkVIP(p) != nil { // the first or last of its network as /32 is a host all the same
		p = host(a)
	}
	g.addAddress(r, u.at, p)
	if p.IsSingleIP() {
		r.note(u.at, "the prefix length of %s is not known here: /32 is right while this host has an address in the same network; else write that network's", a)
	}
}

// secret leaves the password out of what is written.
func (u *ucarp) secret(r *reader, g *group) {
	g.passwordFile = r.keyFile(g)
	switch {
	case u.passfile != "" && u.password != "":
		r.problem(u.at, "both a password (-p) and a password file (-o) are given")
	case u.secretExpands:
		r.note(u.at, "the password is a variable that only the shell or systemd knows: write its value into %s", g.passwordFile)
	case u.password != "":
		if err := checkPassword(u.password); err != nil {
			r.problem(u.at, "%v", err)
			return
		}
		r.keys = append(r.keys, Key{Path: g.passwordFile, Password: u.password})
		r.note(u.at, "the password stands in clear here; it belongs into the first line of %s, which only root may read", g.passwordFile)
	case path.IsAbs(u.passfile) && text(u.passfile) && path.Clean(u.passfile) != "/":
		g.passwordFile = u.passfile
	case u.passfile != "":
		r.note(u.at, "the password file %q has no absolute path: copy it to %s", u.passfile, g.passwordFile)
	default:
		r.problem(u.at, "no password is given (-p or -o)")
	}
}

// notes tells what has no equal.
func (u *ucarp) notes(r *reader) {
	if len(u.scripts) > 0 {
		r.note(u.at, "%s: not run, for vipd puts the address on the interface and takes it off by itself; whatever else is done there belongs into a hook (`hook` of the [[vip]])", strings.Join(u.scripts, ", "))
	}
	if u.srcip != "" {
		r.note(u.at, "the source address %s has no equal: vipd advertises from the interface's first address that is no virtual one", u.srcip)
	}
	if u.xparam != "" {
		r.note(u.at, "the extra parameter %q has no equal: a hook learns the group, its states and addresses", u.xparam)
	}
	if u.ignoreLink {
		r.note(u.at, "ignoring the state of the link (-S) has no equal: without a link a group is in INIT, and another node takes over")
	}
	if u.mcast != "" && u.mcast != "224.0.0.18" {
		r.note(u.at, "the multicast address %s has no equal: vipd uses CARP's, 224.0.0.18; to reach certain nodes alone write them into peers", u.mcast)
	}
}

// ucarpPreempt: vipd has one switch for all groups.
func ucarpPreempt(r *reader, s *settings, found []*ucarp) {
	if len(found) == 0 {
		return
	}
	on := 0
	for _, u := range found {
		if u.preempt {
			on++
		}
	}
	preempt := on > 0
	s.preempt = &preempt
	for _, u := range found {
		if u.preempt != preempt {
			r.note(u.at, "preempting (-P) is for the whole node in vipd, and is on, for another group has it; this one has not")
		}
	}
}

// ucarpDeadRatio: how many intervals the peers wait is one value for all, too.
func ucarpDeadRatio(r *reader, s *settings, found []*ucarp) {
	for _, u := range found {
		ratio := 3
		u.number(r, "dead ratio (-r)", u.deadratio, 1, 1000, &ratio)
		switch {
		case ratio > 3:
			r.note(u.at, "a dead ratio (-r) of %d has no equal: vipd waits for 3 intervals, as the BSDs do; it stays silent itself after at most 3, so peers that wait longer are safe", ratio)
		case s.deadRatio == 0 || float64(ratio) < s.deadRatio:
			s.deadRatio = float64(ratio)
		}
	}
	if s.deadRatio == 3 {
		s.deadRatio = 0 // the default
	}
}
