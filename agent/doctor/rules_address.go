// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vipd/agent/conflict"
	"vipd/agent/control/api"
	"vipd/agent/wire"
)

// Faults in answers for the addresses, and in traffic to and from them.

func addressRules() []Rule {
	return []Rule{
		{
			Code:    CodeAddressConflict,
			OK:      "no other host announces or answers for the addresses",
			Found:   "another host announces or answers for the addresses",
			Passive: true,
			group:   addressConflict,
		},
		{
			Code:  CodeSecondInterface,
			OK:    "no other interface of this host answers for the addresses (arp_ignore)",
			Found: "another interface of this host answers for the addresses (arp_ignore)",
			group: secondInterface,
		},
		{
			Code:  CodeAnswersUnseen,
			OK:    "clients see this node's answers",
			Found: "a client does not see this node's answers",
			group: answersUnseen,
		},
		{
			Code:  CodeMACSpoofing,
			OK:    "no MAC filter between this node and the others (port security, MAC spoofing)",
			Found: "a MAC filter between this node and the others (port security, MAC spoofing)",
			group: macSpoofing,
		},
		{
			Code:  CodeMACFilter,
			OK:    "the NIC's receive filter has the virtual MAC",
			Found: "the NIC's receive filter lacks the virtual MAC",
			group: macFilter,
		},
		{
			Code:    CodeNotAnswering,
			OK:      "the kernel answers for all addresses while MASTER",
			Found:   "the kernel does not answer for all addresses although MASTER",
			Passive: true,
			group:   notAnswering,
		},
		{
			Code:    CodeFencedTraffic,
			OK:      "no packets from the addresses are sent while not MASTER (SNAT, bind)",
			Found:   "packets from the addresses are sent while not MASTER (SNAT, bind)",
			Passive: true,
			group:   fencedTraffic,
		},
	}
}

func virtualMAC(g *Group) [6]byte { return wire.VirtualMAC(g.VHID) }

// addressConflict finds answers from hosts that are not nodes of the group. ucarp answers with its
// host's own MAC, so one such answer beside a ucarp master is correct. An announcement that the
// data plane saw counts for conflict.Quiet.
func addressConflict(f *Facts, g *Group) outcome {
	if g.State == api.StateInit {
		return outcome{}
	}
	announced := announcedBy(f, g)
	if o := answeredBy(g); len(o.findings) > 0 {
		for i := range announced.findings {
			o.findings[0].Evidence = append(o.findings[0].Evidence, announced.findings[i].Evidence...)
		}
		return o
	}
	return announced
}

// announcedBy reports announcements that the data plane saw, even if the host is gone by now.
func announcedBy(f *Facts, g *Group) outcome {
	var evidence, who []string
	for _, c := range g.Conflicts {
		ago := f.Time.Sub(c.Last)
		if ago >= conflict.Quiet || c.Interface != "" { // of this host: see secondInterface
			continue
		}
		text := fmt.Sprintf("%s announced %s", c.MAC, c.Address)
		if c.Source != "" {
			text += " in frames from " + c.Source
		}
		evidence = append(evidence,
			fmt.Sprintf("%s, %s, last seen %s ago", text, times(c.Count), max(ago, 0).Round(time.Second)))
		if !slices.Contains(who, c.MAC) {
			who = append(who, c.MAC)
		}
	}
	// If these are of a ucarp master whose adverts are refused, the rules of the digest say more.
	if evidence == nil || len(who) == 1 && ucarpSpeaks(g) {
		if len(g.Conflicts) == 0 {
			return outcome{}
		}
		c := g.Conflicts[0]
		if c.Interface != "" {
			return outcome{}
		}
		return outcome{
			note: fmt.Sprintf("%s announced %s, last seen %s ago", c.MAC, c.Address, f.Time.Sub(c.Last).Round(time.Second)),
		}
	}
	what := "Another host announced this group's addresses"
	if len(who) > 1 {
		what = fmt.Sprintf("%d other hosts announced this group's addresses", len(who))
	}
	advice := "Find the host by its MAC in the switch's address table, and remove the address from it."
	if g.State == api.StateMaster {
		advice += " Until then this node announces the address again after each announcement of the other host, so clients " +
			"return within about a second."
	}
	return fault(fmt.Sprintf("%s, with %s.", what, few(who)), advice, evidence...)
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func answeredBy(g *Group) outcome {
	var seen []string
	var who []string
	proxies := 0
	for _, a := range g.Answers {
		if a.Interface != "" || usual(g, a.MAC) {
			continue
		}
		mac := net.HardwareAddr(a.MAC[:]).String()
		if ucarpSpeaks(g) && !answered(g, a.Address, func(b Answer) bool { return b.MAC != a.MAC }) {
			continue
		}
		from := ""
		if a.Proxy {
			from = " from this node's own address"
			proxies++
		}
		seen = append(seen, fmt.Sprintf("asked for %s%s, a host answered with %s", a.Address, from, mac))
		if !slices.Contains(who, mac) {
			who = append(who, mac)
		}
	}
	if seen == nil {
		return outcome{}
	}
	also := "Find it by its MAC in the switch, and take the address off it."
	switch {
	case proxies == len(seen):
		also = "Find it by its MAC in the switch. It ignored the same question from 0.0.0.0, as proxy ARP does: " +
			proxyAdvice
	case hasIPv6(g.Answers):
		also += " If it is a router, it may be a proxy: " + proxyAdvice
	}
	if g.State == api.StateBackup && !answered(g, netip.Addr{}, func(b Answer) bool { return usual(g, b.MAC) }) {
		also += " If it is the MASTER and answers with its own MAC, there is no fault."
	}
	verb := "answers"
	if len(who) > 1 {
		verb = "answer"
	}
	return fault(
		fmt.Sprintf("A host that is not a node of this group %s for its addresses, with %s.", verb, strings.Join(who, ", ")),
		also,
		seen...)
}

// proxyAdvice is for a router that answers for addresses of other hosts.
const proxyAdvice = "switch proxy ARP off there, or exclude this address (Linux: `sysctl " +
	"net.ipv4.conf.IF.proxy_arp=0`, `ip neigh show proxy`, and for IPv6 proxy_ndp or ndppd)."

// hasIPv6 reports an IPv6 answer: a neighbour advertisement does not show whether a proxy sent it.
func hasIPv6(answers []Answer) bool {
	return slices.ContainsFunc(answers, func(a Answer) bool { return a.Address.Is6() })
}

// answered reports whether another host gave a matching answer for the address; an invalid address means any.
func answered(g *Group, addr netip.Addr, match func(Answer) bool) bool {
	return slices.ContainsFunc(g.Answers, func(b Answer) bool {
		return b.Interface == "" && (!addr.IsValid() || b.Address == addr) && match(b)
	})
}

// usual reports whether a node of the group answers with this MAC: the virtual one, its multicast
// form that OpenBSD uses for load balancing, or the configured one.
func usual(g *Group, mac [6]byte) bool {
	balanced := virtualMAC(g)
	balanced[0] = 1
	return mac == virtualMAC(g) || mac == balanced || g.LLAddr != nil && mac == *g.LLAddr
}

// ucarpSpeaks reports whether adverts of a master come from 00:00:5e:00:00:VHID, even if they are
// refused here.
func ucarpSpeaks(g *Group) bool {
	mac := virtualMAC(g)
	mac[4] = 0
	return g.State == api.StateBackup && g.Master != nil && g.Master.MAC == mac ||
		slices.ContainsFunc(g.Suspects, func(s Suspect) bool { return s.SrcMAC == mac })
}

func secondInterface(_ *Facts, g *Group) outcome {
	for _, a := range g.Answers {
		if a.Interface != "" && a.Interface != g.Interface {
			return fault(
				fmt.Sprintf("%s of this host is in the same segment as %s and answers for %s with its own MAC.",
					a.Interface, g.Interface, a.Address),
				fmt.Sprintf("`sysctl -w net.ipv4.conf.%s.arp_ignore=1` limits it to its own addresses; it is better to remove one "+
					"of the two interfaces from the segment.", a.Interface),
				fmt.Sprintf("asked for %s on %s, %s answered with %s",
					a.Address, g.Interface, a.Interface, net.HardwareAddr(a.MAC[:])))
		}
	}
	for _, b := range g.Beside {
		if b.ARPIgnore == 0 {
			return warning(
				fmt.Sprintf("%s of this host has an address in the network of this group's addresses (%s): in the same segment it "+
					"would answer for them with its own MAC.", b.Interface, b.Address),
				fmt.Sprintf("Run `sysctl -w net.ipv4.conf.%s.arp_ignore=1`, or use another network there.", b.Interface),
				fmt.Sprintf("arp_ignore is 0 on %s", b.Interface),
			)
		}
	}
	return outcome{}
}

// A client without an answer asks again about every second; two questions at once do not show
// that. The third one does, unless traffic for the addresses arrives.
const (
	askAgainAfter  = 200 * time.Millisecond
	askAgainBefore = 1500 * time.Millisecond
	askedTooOften  = 3
)

func answersUnseen(_ *Facts, g *Group) outcome {
	if g.State != api.StateMaster || g.Delivered > 0 {
		return outcome{}
	}
	type who struct {
		mac  [6]byte
		addr netip.Addr
	}
	last, times := map[who]time.Time{}, map[who]int{}
	for _, q := range g.Questions {
		if q.From.IsValid() && q.From.IsUnspecified() {
			continue // a probe, as the doctor of another node sends it: repeated whatever the answer is
		}
		k := who{q.MAC, q.Address}
		switch gap := q.At.Sub(last[k]); {
		case times[k] == 0 || gap > askAgainBefore:
			times[k] = 1
		case gap < askAgainAfter:
			continue
		default:
			times[k]++
		}
		last[k] = q.At
		if times[k] == askedTooOften {
			return g.unseen(fmt.Sprintf("%s asked for %s %d times and was answered each time",
				net.HardwareAddr(q.MAC[:]), q.Address, times[k]))
		}
	}
	return outcome{}
}

// modeNative is the mode in which the driver sends the answers of XDP.
const modeNative = "native"

// unseen returns why a client does not see answers. It can be the driver only in native mode. If hosts answer the
// virtual MAC, no filter is on the way.
func (g *Group) unseen(evidence string) outcome {
	const what = "A client asks for the same address again and again as if it did not see this node's answers, and no " +
		"traffic for the addresses arrives: "
	switch {
	case g.filtered():
		return outcome{} // see macSpoofing
	case g.Mode == modeNative:
		return fault(what+"the answer that XDP sends does not leave the interface.",
			fmt.Sprintf("The driver of %s may lose frames that native XDP sends: set [xdp] mode = \"tc\" and restart "+
				"vipd. If that changes nothing, look for a filter between the client and this node: %s",
				g.Interface, spoofingAdvice(g)),
			evidence)
	default:
		return fault(what+"something between the client and the interface drops frames from or to the virtual MAC.",
			fmt.Sprintf("The data plane is in mode %s, so the driver is not the cause. %s", g.Mode, spoofingAdvice(g)),
			evidence, "no frame to the virtual MAC arrived in that time")
	}
}

// filtered reports whether other hosts answer this NIC's own MAC, and none of them the virtual one.
func (g *Group) filtered() bool {
	return g.State == api.StateMaster && g.Delivered == 0 && g.Reach != nil && len(g.Reach.NIC) > 0 &&
		len(g.Reach.Virtual) == 0
}

// macSpoofing finds a hypervisor or switch that drops frames with a MAC other than the NIC's own.
func macSpoofing(_ *Facts, g *Group) outcome {
	if !g.filtered() {
		return outcome{}
	}
	mac := virtualMAC(g)
	seen := []string{
		fmt.Sprintf("%s answered a question from the MAC of %s, and none of them answered the same question from %s",
			join(g.Reach.NIC), g.Interface, net.HardwareAddr(mac[:])),
		"no frame to the virtual MAC arrived in that time",
	}
	if g.Master == nil {
		seen = append(seen, "no advert of another node was ever heard")
	}
	return fault(
		fmt.Sprintf("A MAC filter is between %s and the other hosts: frames from the NIC's own MAC pass, and frames from "+
			"or to the virtual MAC %s do not.", g.Interface, net.HardwareAddr(mac[:])),
		spoofingAdvice(g),
		seen...)
}

func spoofingAdvice(g *Group) string {
	mac := virtualMAC(g)
	return fmt.Sprintf("On a virtual machine allow %s on its port, on all nodes. "+
		"VMware: set Forged transmits, MAC address changes and Promiscuous mode to Accept. "+
		"libvirt: no clean-traffic or no-mac-spoofing filter, and trustGuestRxFilters='yes' with macvtap. "+
		"Proxmox: MAC filter off in the firewall options. "+
		"Hyper-V: enable MAC address spoofing. OpenStack: allowed-address-pairs. On a switch: port security. "+
		"Public clouds deliver to no other MAC: move the address by their API in a hook.",
		net.HardwareAddr(mac[:]))
}

// macFilter needs more than a missing entry: frames may arrive nevertheless, and some interfaces have no filter.
func macFilter(_ *Facts, g *Group) outcome {
	if g.State != api.StateMaster || g.Filter == nil || g.Filter.HasMAC || g.Filter.Promiscuous || g.Filter.None ||
		g.Delivered > 0 {
		return outcome{}
	}
	mac := virtualMAC(g)
	text := net.HardwareAddr(mac[:]).String()
	return fault(
		fmt.Sprintf("The receive filter of %s lacks the virtual MAC %s: the NIC drops what is sent to the group's "+
			"addresses.", g.Interface, text),
		fmt.Sprintf("`bridge fdb add %s dev %s self` puts it there; find out who took it away. A driver that refuses "+
			"needs `ip link set %s promisc on`.", text, g.Interface, g.Interface),
		"the interface is not promiscuous either", "no frame to the virtual MAC arrived meanwhile")
}

// fencedTraffic applies only if the node has not been MASTER while the packets were counted: connections of a MASTER
// that has just given the address up end by themselves.
func fencedTraffic(f *Facts, g *Group) outcome {
	if g.State == api.StateMaster || g.Fenced <= stray || f.Time.Sub(g.Since) < max(g.RiseTime, settle) {
		return outcome{}
	}
	seen := []string{
		fmt.Sprintf("%d packets from the group's addresses dropped as "+
			"egress_not_answering_ip in %s", g.Fenced, span(g.RiseTime)),
	}
	if len(g.FencedFlows) > 0 {
		seen = append(seen, "such as "+few(g.FencedFlows))
	}
	return fault(
		fmt.Sprintf("This host sends from the group's addresses (%s) although it is not MASTER, and the packets are "+
			"dropped: "+
			"a SNAT rule to the address, or a program that is bound to it.", few(addressTexts(g))),
		"Limit the rule to forwarded traffic or to the MASTER: `nft list ruleset` or `iptables -t nat -S POSTROUTING` shows "+
			"SNAT rules, `ss -nap` shows programs that are bound to the address. A hook can set and remove the rule with the "+
			"role (docs/hooks.md).",
		seen...)
}

func addressTexts(g *Group) []string {
	out := make([]string, len(g.Addresses))
	for i, a := range g.Addresses {
		out[i] = a.String()
	}
	return out
}

func notAnswering(f *Facts, g *Group) outcome {
	switch {
	case g.State == api.StateMaster && !g.Answering && f.Time.Sub(g.Since) > settle:
		return fault(
			"This node is MASTER, but the kernel keeps it silent: its lease has ended, or it has just yielded.",
			"`vipctl why` shows what it waits for; if that does not end within a few seconds, check vipd's log for adverts "+
				"that cannot be sent.",
		)
	case g.State == api.StateMaster && g.Detail != "":
		return fault(
			"Some of the group's addresses could not be added to this host.",
			"vipd tries again with each advert; fix what the evidence names.",
			g.Detail,
		)
	}
	return outcome{}
}
