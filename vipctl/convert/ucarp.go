// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Ucarp converts command lines of ucarp in a script, crontab or unit file, the stanzas of Debian's
// /etc/network/interfaces, or a vip-*.conf of Fedora. The error is an [*Error].
func Ucarp(f File, opts Options) (*Result, error) {
	r := newReader(opts)
	lines := logicalLines(plain(f.Data))
	var found []*ucarp
	switch {
	case slices.ContainsFunc(lines, isStanza):
		found = interfaces(r, f.Name, lines)
	case isVariables(lines):
		found = variables(r, f, lines)
	default:
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
	return r.finish(f.Name, s)
}

func isStanza(l line) bool {
	fields := strings.Fields(l.text)
	return len(fields) > 1 && fields[0] == "iface"
}

// ucarp is one ucarp as configured; values that are not set are empty.
type ucarp struct {
	at                           origin
	ifname, srcip, vhid, addr    string
	password, passfile           string
	secretExpands                bool // only a shell can expand the password
	advbase, advskew, deadratio  string
	preempt, nomcast, ignoreLink bool
	prefix                       int // length of the virtual address, 0 if unknown
	scripts                      []string
	xparam                       string
	mcast                        string
	addrAt                       origin   // of addr, if it has its own line
	clients                      []client // addresses that the up script adds instead of addr
	ownUpscript                  bool
}

// client is an address used by clients.
type client struct {
	at     origin
	prefix netip.Prefix
}

// group checks the values and returns nil after a problem.
func (u *ucarp) group(r *reader) *group {
	before := len(r.problems)
	g := &group{at: u.at, ifname: u.ifname, advbase: 1}
	if u.ifname == "" {
		r.problem(u.at, "no interface is given (-i), and vipd needs one; ucarp uses the first it finds")
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
		r.problem(u.at, "advbase and advskew are both 0, an interval of zero: vipd needs one of them above 0")
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

// number reads an optional number.
func (u *ucarp) number(r *reader, what, text string, lo, hi int, dst *int) {
	if text == "" {
		return
	}
	n, err := strconv.Atoi(text)
	switch {
	case strings.ContainsAny(text, "$%"):
		r.problem(u.at, "%s is %q, which only the shell or systemd can expand: replace it by its value and import again",
			what, text)
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
		r.problem(u.at, "%q is not an IPv4 address", u.addr)
		return
	}
	if len(u.clients) > 0 {
		u.clientAddresses(r, g, a)
		return
	}
	p := host(a)
	if u.prefix > 0 {
		p = netip.PrefixFrom(a, u.prefix)
	}
	if checkVIP(p) != nil { // the first or last address of a network is valid as /32
		p = host(a)
	}
	g.addAddress(r, u.at, p)
	if p.IsSingleIP() {
		r.unknownPrefix(u.at, a)
	}
}

func (r *reader) unknownPrefix(at origin, a netip.Addr) {
	r.note(at, "the prefix length of %s is not known here: /%d is right if this host has an address in the same "+
		"network; otherwise use that network's",
		a, a.BitLen())
}

// clientAddresses uses the addresses of the clients, whatever ucarp signs.
func (u *ucarp) clientAddresses(r *reader, g *group, signed netip.Addr) {
	same := false
	for _, c := range u.clients {
		p := c.prefix
		if checkVIP(p) != nil { // as in address
			p = host(p.Addr())
		}
		same = same || p.Addr() == signed
		before := len(g.addresses)
		g.addAddress(r, c.at, p)
		if p.IsSingleIP() && len(g.addresses) > before {
			r.unknownPrefix(c.at, p.Addr())
		}
	}
	at := u.addrAt
	if at.line == 0 {
		at = u.at
	}
	switch {
	case !same:
		r.note(at, "ucarp-vip is %s, but %s%s has other addresses, which clients use and which were imported; "+
			"%s was left out: add it if it is used", signed, u.ifname, aliasSuffix, signed)
		fallthrough
	case len(g.addresses) > 1:
		r.note(
			at,
			"ucarp signs only %s and vipd all addresses of a group, so this node and a ucarp do not interoperate: "+
				"change all nodes of the group at once",
			signed,
		)
	}
}

// secret keeps the password out of the config.
func (u *ucarp) secret(r *reader, g *group) {
	g.passwordFile = r.keyFile(g)
	switch {
	case u.passfile != "" && u.password != "":
		r.problem(u.at, "both a password (-p) and a password file (-o) are given")
	case u.secretExpands:
		r.note(u.at, "the password is a variable that only the shell or systemd can expand: write its value to %s",
			g.passwordFile)
	case u.password != "":
		if err := checkPassword(u.password); err != nil {
			r.problem(u.at, "%v", err)
			return
		}
		r.keys = append(r.keys, Key{Path: g.passwordFile, Password: u.password})
		r.note(u.at, "the password is in clear text here; put it into the first line of %s, readable by root only",
			g.passwordFile)
	case path.IsAbs(u.passfile) && text(u.passfile) && path.Clean(u.passfile) != "/":
		g.passwordFile = u.passfile
	case u.passfile != "":
		r.note(u.at, "the password file %q is not an absolute path: copy it to %s", u.passfile, g.passwordFile)
	default:
		r.problem(u.at, "no password is given (-p or -o)")
	}
}

// notes reports settings without an equivalent.
func (u *ucarp) notes(r *reader) {
	if len(u.scripts) > 0 {
		r.note(u.at,
			"%s: not run, since vipd adds and removes the address itself; put any other action into a hook (`hook` "+
				"of the [[vip]])", strings.Join(u.scripts, ", "))
	}
	if u.srcip != "" {
		r.note(u.at,
			"the source address %s has no equivalent: vipd advertises from the interface's first address that is not a "+
				"virtual one", u.srcip)
	}
	if u.xparam != "" {
		r.note(u.at, "the extra parameter %q has no equivalent: a hook gets the group, its states and addresses", u.xparam)
	}
	if u.ignoreLink {
		r.note(u.at,
			"ignoring the state of the link (-S) has no equivalent: without a link a group is in INIT, and another node "+
				"takes over")
	}
	if u.mcast != "" && u.mcast != "224.0.0.18" {
		r.note(u.at,
			"the multicast address %s has no equivalent: vipd uses CARP's, 224.0.0.18; to reach only certain nodes, list "+
				"them in peers", u.mcast)
	}
}

// ucarpPreempt sets the preemption of the node, which vipd has once for all groups.
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
			r.note(u.at,
				"preemption (-P) applies to the whole node in vipd and is on, since another group has it; this one does not")
		}
	}
}

// ucarpDeadRatio sets the dead ratio of the node.
func ucarpDeadRatio(r *reader, s *settings, found []*ucarp) {
	for _, u := range found {
		ratio := 3
		u.number(r, "dead ratio (-r)", u.deadratio, 1, 1000, &ratio)
		switch {
		case ratio > 3:
			r.note(u.at,
				"a dead ratio (-r) of %d has no equivalent: vipd waits for 3 intervals, as the BSDs do; it is silent itself for "+
					"at most 3, so peers that wait longer are safe", ratio)
		case s.deadRatio == 0 || float64(ratio) < s.deadRatio:
			s.deadRatio = float64(ratio)
		}
	}
	if s.deadRatio == 3 {
		s.deadRatio = 0 // the default
	}
}
