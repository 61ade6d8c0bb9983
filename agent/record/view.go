// SPDX-License-Identifier: Apache-2.0

package record

import (
	"fmt"

	"vipd/agent/control/api"
	"vipd/loader"
)

// record returns the entry as an API record, without state and cause.
func (e *entry) record(group, ifname string, offset int64) api.Record {
	out := api.Record{Time: wall(e.At, offset), Group: group}
	if e.Transition != nil {
		out.Kind, out.Transition, out.Text = api.RecordTransition, e.Transition, e.text(nil)
		return out
	}
	f := decode(e.Data)
	out.Kind, out.Reason, out.Text = e.Kind.String(), e.Reason, e.text(&f)
	out.Interface, out.VLAN, out.Length, out.Frame = ifname, int(e.VLAN), e.Length, e.Data
	if len(f.vlans) > 0 {
		out.VLAN = int(f.vlans[0])
	}
	out.Direction = "in"
	if e.Out {
		out.Direction = "out"
	}
	if e.Lag >= 0 {
		lag := float64(e.Lag) / 1e9
		out.LagSeconds = &lag
	}
	out.Advert, out.Neighbour = e.advert(&f), e.neighbour(&f)
	return out
}

func (e *entry) advert(f *frame) *api.RecordAdvert {
	c := f.carp
	if c == nil {
		return nil
	}
	out := &api.RecordAdvert{
		Source: f.src.String(), Destination: f.dst.String(), TTL: int(f.ttl),
		Version: int(c.version), VHID: int(c.vhid),
	}
	if c.whole && e.Kind != loader.SampleForeignVRRP {
		out.AdvBase, out.AdvSkew, out.Demote = int(c.advBase), int(c.advSkew), int(c.demote)
		out.Counter, out.Proven, out.Goodbye = fmt.Sprintf("%016x", c.counter), e.Proven, c.isGoodbye
		if t := c.trailer; t != nil {
			out.Trailer = &api.RecordTrailer{Number: c.counter, BeatMicroseconds: int(t.Beat), Tag: e.tag()}
		}
	}
	return out
}

func (e *entry) neighbour(f *frame) *api.RecordNeighbour {
	n := f.arp
	if n == nil {
		n = f.nd
	}
	if n == nil {
		return nil
	}
	return &api.RecordNeighbour{
		Op: n.op, Sender: n.sender.String(), SenderMAC: n.senderMAC.String(), Target: n.target.String(),
	}
}
