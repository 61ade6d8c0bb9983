// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bufio"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A check measures this node. One that targets a virtual address measures the owner of the
// address: either it passes on the MASTER and fails elsewhere, or the reverse, and the address
// moves forever; or it fails on all nodes at once and changes nothing.

// checkSubject refuses checks of the cluster and warns of those that always or never pass.
func checkSubject(s *section, c *Check, drafts []*draft, opts Options) {
	if s.bad["target"] || s.bad["command"] {
		return
	}
	for _, t := range c.targets(opts) {
		if owner := ownerOf(drafts, t, c); owner != "" {
			s.problem("target", "%s is an address of %s, which is on the node that is MASTER: "+
				"the check would measure the cluster and not this node, and move the address forever; use an address "+
				"that does not move, such as that of a router or of the service on this host",
				quoteTarget(c.Target, t), owner)
			return
		}
		if why := ownTarget(c.Type, t, opts); why != "" {
			s.warn("target", "%s %s", quoteTarget(c.Target, t), why)
			return
		}
	}
	switch c.Type {
	case CheckRoute:
		checkRouteSubject(s, c, drafts)
	case CheckCommand:
		for _, arg := range c.Command[min(1, len(c.Command)):] {
			for _, a := range addressesIn(arg) {
				if owner := ownerOf(drafts, a, c); owner != "" {
					s.warn("command", "%q names %s, an address of %s: if the program connects to it, "+
						"the check measures the MASTER and not this node", arg, a, owner)
				}
			}
		}
	}
}

// checkRouteSubject finds routes that move with the addresses of a MASTER.
func checkRouteSubject(s *section, c *Check, drafts []*draft) {
	p, err := netip.ParsePrefix(c.Target)
	if err != nil {
		return
	}
	for _, d := range drafts {
		for where, list := range d.virtual() {
			for _, a := range list {
				switch {
				case p.IsSingleIP() && p.Addr() == a.Addr():
					s.problem("target", "%q is an address of %s, whose route is on the node that is MASTER: "+
						"the check would measure the cluster and not this node; use a route that does not move",
						c.Target, where)
					return
				case p == a.Masked():
					s.warn("target", "%q is the network of %s: a MASTER without an address of its own in it adds that "+
						"route itself, and the check would measure which node is MASTER", c.Target, a)
					return
				}
			}
		}
	}
}

// virtual yields the lists of addresses of a [[vip]], and the words for their place. Those of a [[vip.accept]] are
// virtual addresses of the nodes that already have, or still have, the other list.
func (d *draft) virtual() iter.Seq2[string, []netip.Prefix] {
	return func(yield func(string, []netip.Prefix) bool) {
		if !yield(fmt.Sprintf("the [[vip]] in line %d", d.line("addresses")), d.group.Addresses) {
			return
		}
		for i, a := range d.group.Accept {
			if !yield(fmt.Sprintf("the [[vip.accept]] in line %d", d.acceptLines[i]), a.Addresses) {
				return
			}
		}
	}
}

// targets returns the addresses of an icmp, arp, tcp or http check that are known without a name
// server.
func (c *Check) targets(opts Options) []netip.Addr {
	host := c.Target
	switch c.Type {
	case CheckICMP, CheckARP:
	case CheckTCP, CheckHTTP:
		where := c.Target
		if c.Type == CheckHTTP {
			where = c.HostPort()
		}
		var err error
		if host, _, err = net.SplitHostPort(where); err != nil {
			return nil
		}
	default:
		return nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}
	}
	return opts.Hosts(strings.TrimSuffix(host, "."))
}

// ownerOf returns the place of the virtual address in the config, or "" if it is none. The same link-local address on
// another link is a different one.
func ownerOf(drafts []*draft, a netip.Addr, c *Check) string {
	a = a.Unmap()
	link := c.Interface
	if link == "" {
		link = a.Zone()
	}
	for _, d := range drafts {
		if isLinkLocal6(a) && link != "" && link != d.group.Interface {
			continue
		}
		for where, list := range d.virtual() {
			if slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Addr() == a.WithZone("") }) {
				return where
			}
		}
	}
	return ""
}

// ownTarget returns why a check of this host's own address is useless. For tcp and http it is the usual
// way to check a local service.
func ownTarget(kind string, a netip.Addr, opts Options) string {
	if kind != CheckARP && kind != CheckICMP || !slices.Contains(opts.Addresses(), a.WithZone("")) {
		return ""
	}
	if kind == CheckARP {
		return "is an address of this host, which does not answer its own ARP requests: the check always fails"
	}
	return "is an address of this host, which always answers itself: the check never fails"
}

// addressesIn finds addresses in an argument, such as a URL.
func addressesIn(arg string) []netip.Addr {
	var out []netip.Addr
	for word := range strings.FieldsFuncSeq(arg, func(r rune) bool {
		return !strings.ContainsRune("0123456789abcdefABCDEF:.", r)
	}) {
		host, _, _ := strings.Cut(word, ":") // of HOST:PORT
		for _, try := range []string{word, strings.Trim(word, ":."), host} {
			if a, err := netip.ParseAddr(try); err == nil {
				out = append(out, a.Unmap())
				break
			}
		}
	}
	return out
}

// quoteTarget quotes the target, with its address if it is a name.
func quoteTarget(target string, a netip.Addr) string {
	text := strconv.Quote(target)
	if !strings.Contains(target, a.String()) {
		text += " (" + a.String() + ")"
	}
	return text
}

// hostAddresses returns the addresses of the interfaces; none on an error.
func hostAddresses() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// hostsFile looks a name up in /etc/hosts.
func hostsFile(name string) []netip.Addr {
	f, err := os.Open("/etc/hosts")
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []netip.Addr
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) < 2 {
			continue
		}
		a, err := netip.ParseAddr(words[0])
		if err == nil && slices.ContainsFunc(words[1:], func(w string) bool { return strings.EqualFold(w, name) }) {
			out = append(out, a.Unmap())
		}
	}
	return out
}
