// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"net/netip"
	"path/filepath"
	"strings"
)

// draft is a group on its way: what was read, and where.
type draft struct {
	group Group
	// hasInterface and hasVHID are false when the key was missing or wrong, so that
	// one fault is not told twice.
	hasInterface, hasVHID bool
	head                  int   // line of [[vip]]
	addrLines             []int // parallel to group.Addresses
	lines                 map[string]int
}

func (d *draft) line(key string) int {
	if l, ok := d.lines[key]; ok {
		return l
	}
	return d.head
}

func decodeGroup(s *section, opts Options) *draft {
	d := &draft{group: defaultGroup(), head: s.n.line, lines: map[string]int{}}
	for key, v := range s.n.fields {
		d.lines[key] = v.line
	}
	g := &d.group
	if s.str("interface", &g.Interface) {
		d.hasInterface = checkInterface(s.r, d)
	} else if !s.tried("interface") {
		s.r.problem(d.head, "interface", "missing in this [[vip]]; name the interface, such as interface = \"eth0\"")
	}
	d.hasVHID = s.octet("vhid", 1, 255, &g.VHID)
	if !s.tried("vhid") {
		s.r.problem(d.head, "vhid", "missing in this [[vip]]; allowed is 1..255, the same on all nodes of the group")
	}
	addresses := s.list("addresses", "addresses with prefix length, such as \"192.0.2.100/24\"")
	if !s.bad["addresses"] || len(addresses) > 0 {
		checkAddresses(s.r, d, addresses)
	}
	s.octet("advbase", 0, 254, &g.AdvBase)
	s.octet("advskew", 0, 254, &g.AdvSkew)
	if !s.bad["advbase"] && !s.bad["advskew"] {
		checkInterval(s.r, d)
	}
	if s.str("description", &g.Description) {
		checkDescription(s.r, d)
	}
	var hasPassword bool
	if g.Password, g.PasswordFile, hasPassword = decodePassword(s, opts); !hasPassword {
		s.r.problem(d.head, "password_file", "missing in this [[vip]]; name a file with the password in its first line, or write password = \"\" to use the all-zero key that CARP has without one")
	}
	checkPeers(s.r, d, s.list("peers", "addresses, such as \"192.0.2.12\""))
	decodeHook(s, g, opts)
	decodeProtocol(s, d)
	decodeAccepts(s, d, opts)
	s.done()
	return d
}

// decodeHook warns of a hook that cannot be run now: it may come later, and nothing of
// the election depends on it.
func decodeHook(s *section, g *Group, opts Options) {
	if s.str("hook", &g.Hook) && g.Hook != "" && checkPath(s.r, s.line("hook"), "hook", g.Hook) {
		switch mode, err := opts.Stat(g.Hook); {
		case err != nil:
			s.r.warn(s.line("hook"), "hook", "%s cannot be run now: %v", g.Hook, err)
		case !mode.IsRegular() || mode&0o111 == 0:
			s.r.warn(s.line("hook"), "hook", "%s cannot be run: it is not an executable file; `chmod +x %s`", g.Hook, g.Hook)
		case mode&0o002 != 0:
			s.r.warn(s.line("hook"), "hook", "everybody on this host can change %s, which vipd runs: `chmod o-w %s`", g.Hook, g.Hook)
		}
	}
	s.duration("hook_timeout", minHookTimeout, maxHookTimeout, &g.HookTimeout)
	if g.Hook == "" && s.tried("hook_timeout") {
		s.r.warn(s.line("hook_timeout"), "hook_timeout", "has no effect without hook")
	}
}

// decodePassword reads password or password_file; written is false if neither stands
// there.
func decodePassword(s *section, opts Options) (password Secret, file string, written bool) {
	var inline string
	hasInline := s.str("password", &inline)
	hasFile := s.str("password_file", &file)
	triedInline, triedFile := s.tried("password"), s.tried("password_file")
	switch {
	case triedInline && triedFile:
		s.r.problem(max(s.line("password"), s.line("password_file")), "password_file", "stands beside password; keep one of the two")
	case hasInline:
		if inline != "" && opts.Mode&0o004 != 0 {
			s.r.problem(s.line("password"), "password", "a password must not stand in a file that everybody may read: `chmod o-rwx %s`, or use password_file", s.r.file)
		}
		password = checkPassword(s.r, s.line("password"), "password", []byte(inline))
	case hasFile:
		password = readPassword(s.r, s.line("password_file"), file, opts)
	}
	return password, file, triedInline || triedFile
}

// credentialPrefix marks a password file that is a credential of the systemd unit.
const credentialPrefix = "credential:"

// credentialPath is where systemd put a credential.
func credentialPath(r *report, line int, name string, opts Options) (path string, ok bool) {
	const key = "password_file"
	switch {
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		r.problem(line, key, "%q is no name of a credential; allowed is credential:NAME as in LoadCredential=NAME:FILE of the systemd unit", name)
	case opts.Credentials == "":
		r.problem(line, key, "the credential %s is known only to a vipd that systemd started with LoadCredential=%s:FILE; there it is checked at each start", name, name)
	default:
		return filepath.Join(opts.Credentials, name), true
	}
	return "", false
}

// readPassword takes the first line of the password file.
func readPassword(r *report, line int, path string, opts Options) Secret {
	const key = "password_file"
	if name, is := strings.CutPrefix(path, credentialPrefix); is {
		var ok bool
		if path, ok = credentialPath(r, line, name, opts); !ok {
			return Secret{}
		}
	}
	if !checkPath(r, line, key, path) {
		return Secret{}
	}
	data, mode, err := opts.ReadFile(path)
	if err != nil {
		r.problem(line, key, "%s %v; its first line must be the password, 0..%d bytes", path, err, maxPassword)
		return Secret{}
	}
	if mode&0o004 != 0 {
		r.warn(line, key, "%s can be read by everybody on this host: `chmod o-rwx %s`", path, path)
	}
	first, _, _ := bytes.Cut(data, []byte("\n"))
	return checkPassword(r, line, key, bytes.TrimSuffix(first, []byte("\r")))
}

// checkPassword never puts the password into its message.
func checkPassword(r *report, line int, key string, password []byte) Secret {
	switch {
	case len(password) > maxPassword:
		r.problem(line, key, "the password is %d bytes long, CARP allows 0..%d", len(password), maxPassword)
	case bytes.IndexByte(password, 0) >= 0:
		r.problem(line, key, "the password has a zero byte, which ends it on the peers; allowed are 0..%d other bytes", maxPassword)
	case len(password) == 0 && key == "password_file":
		r.warn(line, key, "the first line is empty, so the key is all zero and whoever is on the segment can take the addresses over")
	}
	return NewSecret(password)
}

// checkTogether holds what one group alone cannot break.
func checkTogether(r *report, drafts []*draft) {
	type place struct {
		ifname string
		addr   netip.Addr
	}
	names := map[string]*draft{}
	owners := map[place]*draft{}
	total := 0
	for _, d := range drafts {
		total += len(d.group.Addresses)
		if !d.hasInterface {
			continue
		}
		if d.hasVHID {
			if first, ok := names[d.group.Name()]; ok {
				r.problem(d.line("vhid"), "vhid", "%s is defined in line %d already; allowed is one [[vip]] for each interface and vhid: put all addresses there", d.group.Name(), first.head)
				continue
			}
			names[d.group.Name()] = d
		}
		for i, a := range d.group.Addresses {
			at := place{d.group.Interface, a.Addr()}
			first, ok := owners[at]
			if !ok {
				owners[at] = d
				continue
			}
			if first != d { // twice in one group was told by checkAddresses
				r.problem(d.addrLines[i], "addresses", "%s is an address of the [[vip]] in line %d already; allowed is each address once on an interface", a.Addr(), first.line("addresses"))
			}
		}
	}
	if len(drafts) > maxGroups {
		r.problem(0, "vip", "%d groups are configured, allowed are %d", len(drafts), maxGroups)
	}
	if total > maxVIPs {
		r.problem(0, "addresses", "%d addresses are configured in all, allowed are %d", total, maxVIPs)
	}
}
