// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"
	"net/netip"

	"vipd/agent/config"
	"vipd/agent/hostcheck"
	"vipd/agent/netio"
	"vipd/agent/state/proven"
	"vipd/agent/state/sequence"
	"vipd/loader"
)

// system is what the node acts on.
type system struct {
	host       Host
	plane      Plane
	openSender func(ifindex int) (Sender, error)
	sendAll    func([]netio.Frame)
	links      *netio.Links     // of the host, as read last
	addresses  *hostcheck.Table // the same
	solicited  Solicited
	sequence   *sequence.Numbers // of adverts
	peers      *proven.Store     // that have proven themselves
	inheriting bool              // the programs of an earlier vipd are still attached (exchange.go)
}

// delVIP removes a virtual address, unless it has become the host's own.
func (s *system) delVIP(ifindex int, addr netip.Addr) error {
	if s.addresses.InWay(ifindex, addr) {
		return nil
	}
	return s.host.DelVIP(ifindex, addr)
}

// The loop acts on the kernel through these interfaces, so that tests can put races into an order that no kernel would
// repeat.

// Plane is loader.Dataplane.
type Plane interface {
	Attach(ifindex int, ifname string, want loader.Mode) (loader.Attachment, error)
	Detach(ifindex int) error
	Inherited(ifindex int) bool
	Pending() bool
	Exchange() error
	NeedRepair() []int
	Repair(ifindex int) (loader.Repaired, error)
	Attended(ifindex int) (interrupted uint64, ok bool)
	Resetting(ifindex int) bool
	FallBack(ifindex int) (map[int]loader.Attachment, error)
	Room() config.Size
	AddGroup(spec loader.GroupSpec) (PlaneGroup, error)
	Wake() <-chan struct{}
	Drain(dst []loader.Event) ([]loader.Event, error)
	Claims(dst []loader.Claim) []loader.Claim
	Hellos(dst []loader.HelloEvent) []loader.HelloEvent
	Pinned() []loader.PinnedGroup
	Unclaimed() []loader.LeftVIP
	DropUnclaimed() ([]loader.LeftVIP, error)
}

// PlaneGroup is loader.Group.
type PlaneGroup interface {
	Update(spec loader.GroupSpec) error
	SetRole(role loader.Role)
	SetSentPriority(p loader.Priority)
	RecordSent(counter uint64, digest [20]byte, p loader.Priority)
	ConfirmSent(counter uint64)
	SetSources(own []netip.Addr) error
	SetSequence(number uint64)
	PutPeer(p loader.Peer) error
	ForgetPeer(addr netip.Addr) (bool, error)
	ExpirePeer(addr netip.Addr, at int64) (bool, error)
	ForgetNoRoom(now int64) error
	Seen() (loader.Seen, error)
	Latest(now int64) (loader.Seen, error)
	Withhold(repeatsOf [2]int64)
	Heard() [2]loader.Heard
	Answering(now int64) (bool, error)
	Stats() (loader.GroupStats, error)
	VIPStats() (loader.Addresses, error)
	Slot() uint32
	SetCapture(on bool) error
	TapStats() (loader.TapStats, error)
	Remove() error
}

// Host is netio.Host.
type Host interface {
	AllLinks() ([]netio.Link, error)
	AllAddresses() ([]netio.Address, error)
	Place(what []netio.Placing)
	DelVIP(ifindex int, ip netip.Addr) error
	AddConnectedRoute(ifindex, table int, vip netip.Prefix) (added bool, err error)
	DelConnectedRoute(ifindex, table int, vip netip.Prefix) error
	DelOwnRoutes(ifindex int, keep func(netip.Prefix) bool) error
	AddLocal(ifindex, table int, prefixes []netip.Prefix) error
	DelLocal(ifindex, table int, prefixes []netip.Prefix) error
	Local(ifindex, table int) ([]netip.Prefix, error)
	DelLeftLocal(ifindex int, left func(netip.Prefix) bool) error
	Neighbour(ifindex int, peer netip.Addr) ([6]byte, error)
	DelMAC(ifindex int, mac [6]byte) error
}

// Solicited is netio.Solicited.
type Solicited interface {
	Want(ifindex int, vips []netip.Addr)
	Run(ctx context.Context)
}

// Sender is netio.Outlet. Frames leave by netio.Sender.SendAll.
type Sender interface {
	Join(group netip.Addr) error
	Close() error
}
