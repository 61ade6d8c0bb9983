// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/wire"
)

// Who answers for the addresses, and whether what comes for them is received.

func addressRules() []Rule {
	return []Rule{
		{Code: CodeAddressConflict, What: "hosts that answer for the addresses with another MAC", group: addressConflict},
		{Code: CodeSecondInterface, What: "other interfaces of this host that answer for the addresses (arp_ignore)", group: secondInterface},
		{Code: CodeAnswersUnseen, What: "whether clients see our answers", group: answersUnseen},
		{Code: CodeMACFilter, What: "the virtual MAC in the NIC's receive filter", group: macFilter},
		{Code: CodeNotAnswering, What: "whether the kernel answers while MASTER", Passive: true, group: notAnswering},
	}
}

func virtualMAC(g *Group) [6]byte { return wire.VirtualMAC(g.VHID) }

// addressConflict looks for answers that no node of the group gives. ucarp answers with
// its host's own MAC, so one such answer beside a ucarp master is in order.
func addressConflict(_ *Facts, g *Group) outcome {
	if g.State == api.StateInit {
		return outcome{}
	}
	var seen []string
	var who []string
	for _, a := range g.Answers {
		if a.Interface != "" || usual(g, a.MAC) {
			continue
		}
		mac := net.HardwareAddr(a.MAC[:]).String()
		if ucarpSpeaks(g) && !answered(g, a.Address, func(b Answer) bool { return b.MAC != a.MAC }) {
			continue
		}
		seen = append(seen, fmt.Sprintf("asked for %s, a host answered with %s", a.Address, mac))
		if !slices.Contains(who, mac) {
			who = append(who, mac)
		}
	}
	if seen == nil {
		return outcome{}
	}
	also := "Find it by its MAC in the switch, and take the address off it."
	if g.State == api.StateBackup && !answered(g, netip.Addr{}, func(b Answer) bool { return usual(g, b.MAC) }) {
		also += " If that is the MASTER, which answers with its own MAC, all is well."
	}
	verb := "answers"
	if len(who) > 1 {
		verb = "answer"
	}
	return fault(fmt.Sprintf("A host that is no node of this group %s for its addresses, with %s.", verb, strings.Join(who, ", ")), also, seen...)
}

// answered says whether somebody answered for the address (any, if it is not valid).
func answered(g *Group, addr netip.Addr, match func(Answer) bool) bool {
	return slices.ContainsFunc(g.Answers, func(b Answer) bool {
		return b.Interface == "" && (!addr.IsValid() || b.Address == addr) && match(b)
	})
}

// usual MACs are the virtual one, the multicast form of it that OpenBSD has for load
// balancing, and the one that was configured.
func usual(g *Group, mac [6]byte) bool {
	balanced := virtualMAC(g)
	balanced[0] = 1
	return mac == virtualMAC(g) || mac == balanced || g.LLAddr != nil && mac == *g.LLAddr
}

// ucarpSpeaks says that adverts of a master come from 00:00:5e:00:00:VHID, also if they
// are refused here.
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
				fmt.Sprintf("%s of this host sits in the same segment as %s and answers for %s with its own MAC.", a.Interface, g.Interface, a.Address),
				fmt.Sprintf("`sysctl -w net.ipv4.conf.%s.arp_ignore=1` makes it answer for its own addresses alone; better, take one of the two interfaces out of the segment.", a.Interface),
				fmt.Sprintf("asked for %s on %s, %s answered with %s", a.Address, g.Interface, a.Interface, net.HardwareAddr(a.MAC[:])))
		}
	}
	for _, b := range g.Beside {
		if b.ARPIgnore == 0 {
			return warning(
				fmt.Sprintf("%s of this host has an address in the network of this group's (%s): in the same segment it would answer for them with its own MAC.", b.Interface, b.Address),
				fmt.Sprintf("`sysctl -w net.ipv4.conf.%s.arp_ignore=1`, or another network for it.", b.Interface),
				fmt.Sprintf("arp_ignore is 0 on %s", b.Interface))
		}
	}
	return outcome{}
}

// A client that was not answered asks again about every second; two questions at once are
// no sign of that. After the third it is one, unless somebody's traffic does arrive.
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
			return fault(
				"A client asks for the same address again and again as if it did not see this node's answers, and no traffic for the addresses arrives: what XDP sends does not leave the interface.",
				fmt.Sprintf("The driver of %s may lose what native XDP sends: write [xdp] mode = \"generic\" and restart vipd. If the mode is generic already, look for a filter between the client and this node.", g.Interface),
				fmt.Sprintf("%s asked for %s %d times and was answered each time", net.HardwareAddr(q.MAC[:]), q.Address, times[k]))
		}
	}
	return outcome{}
}

func macFilter(_ *Facts, g *Group) outcome {
	if g.State != api.StateMaster || g.Filter == nil || g.Filter.HasMAC || g.Filter.Promiscuous {
		return outcome{}
	}
	mac := virtualMAC(g)
	text := net.HardwareAddr(mac[:]).String()
	return fault(
		fmt.Sprintf("The receive filter of %s lacks the virtual MAC %s: the NIC drops what is sent to the group's addresses.", g.Interface, text),
		fmt.Sprintf("`bridge fdb add %s dev %s self` puts it there; find out who took it away. A driver that refuses needs `ip link set %s promisc on`.", text, g.Interface, g.Interface),
		"the interface is not promiscuous either")
}

func notAnswering(f *Facts, g *Group) outcome {
	switch {
	case g.State == api.StateMaster && !g.Answering && f.Time.Sub(g.Since) > settle:
		return fault("This node is MASTER, but the kernel keeps it silent: its lease has ended, or it has just yielded.",
			"`vipctl why` tells what it waits for; if that does not pass within a few seconds, look at vipd's log for adverts that cannot be sent.")
	case g.State == api.StateMaster && g.Detail != "":
		return fault("Some of the group's addresses could not be put on this host.", "The daemon tries again with each advert; mend what it says.", g.Detail)
	}
	return outcome{}
}
