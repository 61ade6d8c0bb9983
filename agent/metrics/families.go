// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
)

// family is one metric whose samples are written at a scrape.
type family struct {
	name, help, kind string
	write            func(p *page, v *view)
}

// view is a snapshot with its labels, each made only once.
type view struct {
	*Snapshot
	groups       []groupView
	states       []string // labels of states()
	ifaceReasons []string
	rejected     []column
	dropped      []column
}

// column is a reason in Group.Rejected or Group.Dropped.
type column struct {
	label string
	at    int  // its index; negative if the source does not have it
	zero  bool // write 0 where the group has no such element
}

// of writes the group's count.
func (c column) of(p *page, counts []uint64, g *groupView) {
	switch {
	case c.at >= 0 && c.at < len(counts):
		p.count(counts[c.at], g.iface, c.label, g.vhid)
	case c.zero:
		p.count(0, g.iface, c.label, g.vhid)
	}
}

// columns returns the reasons of always, which every group has, and then the others of the source, sorted.
func columns(always, source []string) []column {
	var out []column
	for _, r := range always {
		out = append(out, column{label("reason", r), slices.Index(source, r), true})
	}
	for _, r := range slices.Sorted(slices.Values(source)) {
		if !slices.Contains(always, r) {
			out = append(out, column{label("reason", r), slices.Index(source, r), false})
		}
	}
	return out
}

type groupView struct {
	*Group
	iface, vhid string // labels
	addresses   []string
}

func newView(s *Snapshot) *view {
	v := &view{
		Snapshot: s, groups: make([]groupView, len(s.Groups)),
		states: labels("state", states()), ifaceReasons: labels("reason", interfaceReasons()),
		rejected: columns(groupReasons(), s.RejectReasons), dropped: columns(nil, s.DropReasons),
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		gv := groupView{Group: g, iface: label("interface", g.Interface), vhid: label("vhid", vhidLabel(g.VHID))}
		gv.addresses = make([]string, len(g.VIPs))
		for j := range g.VIPs {
			gv.addresses[j] = label("address", g.VIPs[j].Address)
		}
		v.groups[i] = gv
	}
	return v
}

func labels(name string, values []string) []string {
	out := make([]string, len(values))
	for i, value := range values {
		out[i] = label(name, value)
	}
	return out
}

const counter, gauge, histogram = "counter", "gauge", "histogram"

// families returns all families sorted by name, so that they can be merged with those of the registry.
func families(pushed []family) []family {
	out := slices.Concat(nodeFamilies(), advertFamilies(), groupFamilies(), vipFamilies(), pushed)
	slices.SortFunc(out, func(a, b family) int { return cmp.Compare(a.name, b.name) })
	return out
}

func nodeFamilies() []family {
	return []family{
		{
			nameDemotion, "Sum of all demotions of this node in units of advskew, maintenance mode included.", gauge,
			func(p *page, v *view) { p.gauge(float64(v.Demotion)) },
		},
		{
			nameContribution, "Contribution of each named demotion to the sum; absent while it is 0.", gauge,
			func(p *page, v *view) {
				for _, d := range v.Demotions {
					p.gauge(float64(d.Value), label("name", d.Name))
				}
			},
		},
		{
			nameCheckFailing, "1 while the health check fails; 0 otherwise, also before the first verdict.", gauge,
			func(p *page, v *view) {
				for _, c := range v.Checks {
					p.truth(c.Failing, label("check", c.Name))
				}
			},
		},
		{
			nameCheckAge, "Time since the health check last had a result; absent before the first result.", gauge,
			func(p *page, v *view) {
				for _, c := range v.Checks {
					if c.Known {
						p.gauge(max(c.Age, 0).Seconds(), label("check", c.Name))
					}
				}
			},
		},
		{
			nameLoopAge,
			"Time since the last round of the election loop, which runs at least once per second: " +
				"the age of all states and switches.",
			gauge,
			func(p *page, v *view) { p.gauge(max(v.LoopAge, 0).Seconds()) },
		},
		{
			nameSamplesLost, "Frames that the flight recorder lost because its ring in the kernel was full.", counter,
			func(p *page, v *view) { p.count(v.SamplesLost) },
		},
		{
			nameSkipped, "Transitions that came too fast for an incident of their own in the flight recorder.", counter,
			func(p *page, v *view) { p.count(v.IncidentsSkipped) },
		},
		{
			nameEnabled, "1 unless the operator disabled the node.", gauge,
			func(p *page, v *view) { p.truth(v.Enabled) },
		},
		{nameMaintenance, "1 in maintenance mode.", gauge, func(p *page, v *view) { p.truth(v.Maintenance) }},
		{
			nameProgramsLost, "Programs that another process detached from the interface, by hook; " +
				"vipd reattaches them.", counter,
			writeLost,
		},
		{
			nameFallbacks, "Times that native mode was given up for tc ingress, by reason.", counter,
			writeFallbacks,
		},
		{
			namePeerInfo, "Always 1; the address and the version of each other vipd node that sent a hello.", gauge,
			writePeerInfo,
		},
		{
			namePeerLastSeen, "Time since the last hello of the other node in any group; absent after 10 minutes.", gauge,
			func(p *page, v *view) {
				for i := range v.Peers {
					p.gauge(max(v.Peers[i].Age, 0).Seconds(), label("node", v.Peers[i].Node))
				}
			},
		},
		{nameXDPInfo, "Always 1; how the program is attached to the interface.", gauge, writeXDPInfo},
	}
}

func advertFamilies() []family {
	return []family{
		{nameSent, "Advertisements sent.", counter, count(func(g *Group) uint64 { return g.Sent })},
		{
			nameReceived, "Authentic advertisements of other nodes received.", counter,
			count(func(g *Group) uint64 { return g.Received }),
		},
		{
			nameContext, "Authentic advertisements of other nodes by the password and address list " +
				"that they were signed with; own is the group's, accept N its Nth [[vip.accept]].", counter,
			perGroup(writeContexts),
		},
		{
			nameRejected, "Advertisements rejected by reason; those with an empty vhid belong to no group here " +
				"and were passed on.", counter,
			writeRejected,
		},
		{
			nameLastAge, "Time since the last authentic advertisement of another node; absent while none was heard.", gauge,
			perGroup(func(p *page, g *groupView) {
				if g.Heard {
					p.gauge(max(g.LastAdvertAge, 0).Seconds(), g.iface, g.vhid)
				}
			}),
		},
		{
			nameFamilySilent, "1 while the master is heard in the other address family only.", gauge,
			perGroup(func(p *page, g *groupView) {
				for _, f := range g.Families {
					p.truth(f.Silent, label("family", f.Name), g.iface, g.vhid)
				}
			}),
		},
		{
			nameEventsLost,
			"Advertisements that did not fit into the ring to the agent; the kernel's seen entry has the newest.",
			counter,
			count(func(g *Group) uint64 { return g.EventsLost }),
		},
		{
			nameNotRemembered,
			"Advertisements and hellos of other vipd nodes that could not be remembered for lack of room: in the kernel, " +
				"which then refuses unknown sources without a trailer, or in the agent, which does not list such nodes.",
			counter,
			perGroup(func(p *page, g *groupView) {
				p.count(g.NotListed, g.iface, label("table", "agent"), g.vhid)
				p.count(g.NotRemembered, g.iface, label("table", "kernel"), g.vhid)
			}),
		},
	}
}

func groupFamilies() []family {
	return []family{
		{nameGroupState, "1 for the group's state, 0 for the others.", gauge, writeStates},
		{
			namePackets, "Packets to the virtual MAC that were delivered.", counter,
			count(func(g *Group) uint64 { return g.Packets }),
		},
		{
			nameRestored, "Addresses that another process removed from this host while it was MASTER, and that vipd restored.",
			counter,
			count(func(g *Group) uint64 { return g.Restored }),
		},
		{
			nameBytes, "Bytes of the packets to the virtual MAC that were delivered.", counter,
			count(func(g *Group) uint64 { return g.Bytes }),
		},
		{
			nameLease, "How long the kernel answers for the group without another advertisement sent; 0 if it does not answer.",
			gauge,
			perGroup(func(p *page, g *groupView) { p.gauge(max(g.LeaseRemaining, 0).Seconds(), g.iface, g.vhid) }),
		},
		{
			nameStandbys, "Nodes that would take the group over from this one; only while this node is MASTER, " +
				"and absent as long as no other vipd node was heard.", gauge,
			perGroup(func(p *page, g *groupView) {
				if g.Watched {
					p.count(uint64(max(g.Standbys, 0)), g.iface, g.vhid)
				}
			}),
		},
		{
			nameBeat, "How often this node advertises as MASTER according to its config; 0: once per interval.", gauge,
			perGroup(func(p *page, g *groupView) { p.gauge(g.Beat.Seconds(), g.iface, g.vhid) }),
		},
		{
			nameMasterBeat, "Within what time the next advertisement comes, as the last other node stated; 0: within the " +
				"interval; absent while none was heard.", gauge,
			perGroup(func(p *page, g *groupView) {
				if g.Heard {
					p.gauge(g.MasterBeat.Seconds(), g.iface, g.vhid)
				}
			}),
		},
		{
			nameBeatDistrusted, "1 while this node waits longer for the beats of another one: it had claimed since some " +
				"were missing, and that node was alive.", gauge,
			perGroup(func(p *page, g *groupView) { p.truth(g.BeatDistrusted, g.iface, g.vhid) }),
		},
		{
			nameHookWaiting, "Transitions that wait for the group's hook to end.", gauge,
			perGroup(func(p *page, g *groupView) {
				if g.HasHook {
					p.count(uint64(max(g.HookWaiting, 0)), g.iface, g.vhid)
				}
			}),
		},
		{
			nameDropped, "Frames dropped because this node must not speak for the group now, by reason; those with " +
				"an empty vhid belong to no group: tags_lost, whose VLAN tags could not be restored.", counter,
			writeDropped,
		},
	}
}

func vipFamilies() []family {
	return []family{
		{
			nameARPRequests, "ARP requests seen for the address.", counter,
			perVIP(func(v *VIP) uint64 { return v.ARPRequests }),
		},
		{
			nameARPReplies, "ARP requests answered for the address.", counter,
			perVIP(func(v *VIP) uint64 { return v.ARPReplies }),
		},
		{
			nameNDSolicitations, "Neighbour solicitations seen for the address.", counter,
			perVIP(func(v *VIP) uint64 { return v.NDSolicitations }),
		},
		{
			nameNDAdvertisements, "Neighbour solicitations answered for the address.", counter,
			perVIP(func(v *VIP) uint64 { return v.NDAdvertisements }),
		},
		{
			nameConflicts, "ARP and ND messages of other hosts that gave the address to another MAC.", counter,
			perVIP(func(v *VIP) uint64 { return v.Conflicts }),
		},
		{
			nameAnswersUnseen,
			"1 if within the last minute a client kept asking for the address as if it saw none of our answers.",
			gauge,
			perVIP(func(v *VIP) uint64 {
				if v.AnswersUnseen {
					return 1
				}
				return 0
			}),
		},
	}
}

func perGroup(write func(p *page, g *groupView)) func(*page, *view) {
	return func(p *page, v *view) {
		for i := range v.groups {
			write(p, &v.groups[i])
		}
	}
}

// count writes a counter per group.
func count(of func(*Group) uint64) func(*page, *view) {
	return perGroup(func(p *page, g *groupView) { p.count(of(g.Group), g.iface, g.vhid) })
}

// perVIP writes a counter per address.
func perVIP(of func(*VIP) uint64) func(*page, *view) {
	return perGroup(func(p *page, g *groupView) {
		for i := range g.VIPs {
			p.count(of(&g.VIPs[i]), g.addresses[i], g.iface, g.vhid)
		}
	})
}

func writeStates(p *page, v *view) {
	for i := range v.groups {
		g := &v.groups[i]
		for j, s := range states() {
			p.truth(g.State == s, g.iface, v.states[j], g.vhid)
		}
	}
}

func writeContexts(p *page, g *groupView) {
	for _, c := range g.Contexts {
		p.count(c.Received, label("context", c.Name), g.iface, g.vhid)
	}
}

func writeRejected(p *page, v *view) {
	for i := range v.groups {
		for _, c := range v.rejected {
			c.of(p, v.groups[i].Rejected, &v.groups[i])
		}
	}
	known := interfaceReasons()
	for i := range v.Interfaces {
		f := &v.Interfaces[i]
		reasons(p, f.Rejected, known, v.ifaceReasons, label("interface", f.Name), label("vhid", ""))
	}
}

func writeDropped(p *page, v *view) {
	for i := range v.groups {
		for _, c := range v.dropped {
			c.of(p, v.groups[i].Dropped, &v.groups[i])
		}
	}
	for i := range v.Interfaces {
		f := &v.Interfaces[i]
		reasons(p, f.Dropped, nil, nil, label("interface", f.Name), label("vhid", ""))
	}
}

func writeXDPInfo(p *page, v *view) {
	for i := range v.Interfaces {
		if f := &v.Interfaces[i]; f.Mode != "" {
			p.truth(true, label("interface", f.Name), label("mode", f.Mode))
		}
	}
}

func writePeerInfo(p *page, v *view) {
	for i := range v.Peers {
		for _, h := range v.Peers[i].Homes {
			p.truth(true, label("address", h.Address), label("node", v.Peers[i].Node), label("version", h.Version))
		}
	}
}

func writeLost(p *page, v *view) {
	for i := range v.Interfaces {
		f := &v.Interfaces[i]
		for _, hook := range slices.Sorted(maps.Keys(f.Lost)) {
			p.count(f.Lost[hook], label("hook", hook), label("interface", f.Name))
		}
	}
}

func writeFallbacks(p *page, v *view) {
	for i := range v.Interfaces {
		f := &v.Interfaces[i]
		for _, reason := range slices.Sorted(maps.Keys(f.Fallbacks)) {
			p.count(f.Fallbacks[reason], label("interface", f.Name), label("reason", reason))
		}
	}
}

// reasons writes every known reason, and then those that are only in the map.
func reasons(p *page, counts map[string]uint64, known, labelled []string, iface, vhid string) {
	others := len(counts)
	for i, r := range known {
		n, ok := counts[r]
		if ok {
			others--
		}
		p.count(n, iface, labelled[i], vhid)
	}
	if others == 0 {
		return
	}
	for _, r := range slices.Sorted(maps.Keys(counts)) {
		if !slices.Contains(known, r) {
			p.count(counts[r], iface, label("reason", r), vhid)
		}
	}
}

func vhidLabel(vhid uint8) string { return strconv.Itoa(int(vhid)) }
