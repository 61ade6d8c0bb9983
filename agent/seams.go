// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"
	"time"

	"vipd/agent/netio"
	"vipd/loader"
)

// The agent touches the kernel through these interfaces, so that its tests can
// put races into an order that no kernel would repeat.

// dataplane is loader.Dataplane.
type dataplane interface {
	Attach(ifindex int, ifname string, want loader.Mode) (loader.Attachment, error)
	Detach(ifindex int) error
	Unsettled() []int
	Settle(ifindex int) (loader.Settled, error)
	Listening(ifindex int) (interrupted uint64, ok bool)
	AddGroup(spec loader.GroupSpec) (planeGroup, error)
	Wake() <-chan struct{}
	Drain(dst []loader.Event) ([]loader.Event, error)
	DrainTap(dst []loader.Sample) ([]loader.Sample, uint64, error)
	Pinned() []loader.PinnedGroup
	Unclaimed() []loader.LeftVIP
	DropUnclaimed() ([]loader.LeftVIP, error)
	InterfaceStats(ifindex int) (map[string]uint64, error)
	Readings(now int64) (func(planeGroup) *loader.Reading, error)
	Close() error
	Remove() error
}

// planeGroup is loader.Group.
type planeGroup interface {
	Update(spec loader.GroupSpec) error
	SetRole(role loader.Role)
	SetSentPriority(p loader.Priority)
	RecordSent(counter uint64, digest [20]byte, p loader.Priority)
	SetSources(own []netip.Addr) error
	SetSequence(seq uint32)
	Seen() (loader.Seen, error)
	Answering(now int64) (bool, error)
	Stats() (loader.GroupStats, error)
	VIPStats() (loader.Addresses, error)
	Slot() uint32
	SetCapture(on bool) error
	TapStats() (loader.TapStats, error)
	Remove() error
}

// hostNet is netio.Host.
type hostNet interface {
	Link(name string) (netio.Link, error)
	LinkAt(ifindex int) (netio.Link, error)
	Addresses(ifindex int) ([]netip.Prefix, error)
	SetVIP(ifindex int, ip netip.Addr, label string, valid time.Duration) error
	DelVIP(ifindex int, ip netip.Addr) error
	AddConnectedRoute(ifindex int, vip netip.Prefix) (added bool, err error)
	DelConnectedRoute(ifindex int, vip netip.Prefix) error
	DelOwnRoutes(ifindex int, keep func(netip.Prefix) bool) error
	Neighbour(ifindex int, peer netip.Addr) ([6]byte, error)
	Forwards6(ifname string) bool
	AddMAC(ifindex int, mac [6]byte) error
	DelMAC(ifindex int, mac [6]byte) error
}

// frameSender is netio.Sender.
type frameSender interface {
	Send(frame []byte) error
	Join(group netip.Addr) error
	Close() error
}

// kernelPlane is the real data plane behind the interface.
type kernelPlane struct{ *loader.Dataplane }

// AddGroup implements dataplane.
func (k kernelPlane) AddGroup(spec loader.GroupSpec) (planeGroup, error) {
	g, err := k.Dataplane.AddGroup(spec)
	if err != nil {
		return nil, err // not the typed nil inside g
	}
	return g, nil
}

// Readings implements dataplane.
func (k kernelPlane) Readings(now int64) (func(planeGroup) *loader.Reading, error) {
	all, err := k.Dataplane.Readings(now)
	return func(g planeGroup) *loader.Reading {
		of, _ := g.(*loader.Group)
		return all[of]
	}, err
}

func openSender(ifindex int) (frameSender, error) {
	s, err := netio.NewSender(ifindex)
	if err != nil {
		return nil, err
	}
	return s, nil
}
