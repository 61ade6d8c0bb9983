// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// collector turns one [Snapshot] into metrics.
type collector struct {
	src Source

	state, sent, received, rejected, age    *prometheus.Desc
	packets, bytes, lease, dropped, lost    *prometheus.Desc
	arpReq, arpRep, ndSol, ndAdv            *prometheus.Desc
	demotion, enabled, maintenance, xdpInfo *prometheus.Desc
}

func newCollector(src Source) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	const iface, vhid = "interface", "vhid"
	return &collector{
		src:   src,
		state: desc(nameGroupState, "1 for the state that the group is in, 0 for the others.", iface, vhid, "state"),
		sent:  desc(nameSent, "Advertisements sent.", iface, vhid),
		received: desc(nameReceived,
			"Authentic advertisements of other nodes received.", iface, vhid),
		rejected: desc(nameRejected,
			"Advertisements rejected by reason; with an empty vhid those that belong to no group here and were passed on.", iface, vhid, "reason"),
		age: desc(nameLastAge,
			"Time since the last authentic advertisement of another node; absent while none was heard.", iface, vhid),
		packets: desc(namePackets, "Packets to the virtual MAC that were let in.", iface, vhid),
		bytes:   desc(nameBytes, "Bytes of the packets to the virtual MAC that were let in.", iface, vhid),
		lease: desc(nameLease,
			"How long the group may go on answering without another advertisement sent; 0 when it may not answer.", iface, vhid),
		dropped: desc(nameDropped, "Frames dropped because this node must not speak for the group now, by reason.", iface, vhid, "reason"),
		lost:    desc(nameEventsLost, "Advertisements that did not fit into the ring to the agent; the kernel's own record has them.", iface, vhid),
		arpReq:  desc(nameARPRequests, "ARP requests seen for the address.", iface, vhid, "address"),
		arpRep:  desc(nameARPReplies, "ARP requests answered for the address.", iface, vhid, "address"),
		ndSol:   desc(nameNDSolicitations, "Neighbour solicitations seen for the address.", iface, vhid, "address"),
		ndAdv:   desc(nameNDAdvertisements, "Neighbour solicitations answered for the address.", iface, vhid, "address"),
		demotion: desc(nameDemotion,
			"Sum of all demotions of this node in units of advskew, maintenance mode included."),
		enabled:     desc(nameEnabled, "1 unless the operator disabled the node."),
		maintenance: desc(nameMaintenance, "1 in maintenance mode."),
		xdpInfo:     desc(nameXDPInfo, "Always 1; how the program is attached to the interface.", iface, "mode"),
	}
}

// Describe sends every Desc.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.state, c.sent, c.received, c.rejected, c.age, c.packets, c.bytes, c.lease, c.dropped, c.lost,
		c.arpReq, c.arpRep, c.ndSol, c.ndAdv, c.demotion, c.enabled, c.maintenance, c.xdpInfo,
	} {
		ch <- d
	}
}

// Collect reads one snapshot.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	snap := c.src.Snapshot()
	if snap.Err != nil {
		ch <- prometheus.NewInvalidMetric(c.state, snap.Err)
		return
	}
	out := emitter{ch}
	out.gauge(c.demotion, float64(snap.Demotion))
	out.gauge(c.enabled, truth(snap.Enabled))
	out.gauge(c.maintenance, truth(snap.Maintenance))
	for i := range snap.Groups {
		c.group(out, &snap.Groups[i])
	}
	for i := range snap.Interfaces {
		c.iface(out, &snap.Interfaces[i])
	}
}

func (c *collector) group(out emitter, g *Group) {
	ifname, vhid := g.Interface, vhidLabel(g.VHID)
	for _, s := range states() {
		out.gauge(c.state, truth(g.State == s), ifname, vhid, s)
	}
	out.counter(c.sent, g.Sent, ifname, vhid)
	out.counter(c.received, g.Received, ifname, vhid)
	out.reasons(c.rejected, g.Rejected, groupReasons(), ifname, vhid)
	out.reasons(c.dropped, g.Dropped, nil, ifname, vhid)
	if g.Heard {
		out.gauge(c.age, max(g.LastAdvertAge, 0).Seconds(), ifname, vhid)
	}
	out.counter(c.packets, g.Packets, ifname, vhid)
	out.counter(c.bytes, g.Bytes, ifname, vhid)
	out.gauge(c.lease, max(g.LeaseRemaining, 0).Seconds(), ifname, vhid)
	out.counter(c.lost, g.EventsLost, ifname, vhid)
	for i := range g.VIPs {
		v := &g.VIPs[i]
		out.counter(c.arpReq, v.ARPRequests, ifname, vhid, v.Address)
		out.counter(c.arpRep, v.ARPReplies, ifname, vhid, v.Address)
		out.counter(c.ndSol, v.NDSolicitations, ifname, vhid, v.Address)
		out.counter(c.ndAdv, v.NDAdvertisements, ifname, vhid, v.Address)
	}
}

func (c *collector) iface(out emitter, i *Interface) {
	out.reasons(c.rejected, i.Rejected, interfaceReasons(), i.Name, "")
	out.reasons(c.dropped, i.Dropped, nil, i.Name, "")
	if i.Mode != "" {
		out.gauge(c.xdpInfo, 1, i.Name, i.Mode)
	}
}

type emitter struct{ ch chan<- prometheus.Metric }

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (e emitter) counter(d *prometheus.Desc, v uint64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// reasons emits every known reason, and after them those that only the map has.
func (e emitter) reasons(d *prometheus.Desc, counts map[string]uint64, known []string, ifname, vhid string) {
	for _, r := range known {
		e.counter(d, counts[r], ifname, vhid, r)
	}
	for _, r := range slices.Sorted(maps.Keys(counts)) {
		if !slices.Contains(known, r) {
			e.counter(d, counts[r], ifname, vhid, r)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
