// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"

	"vipd/loader/object"
)

// rejectNames by enum reject of bpf/vipd_types.h.
var rejectNames = [...]string{
	"", "bad_ttl", "bad_version", "bad_length", "bad_checksum", "bad_hmac", "loop", "replay",
	"rate_limited", "wrong_family", "bad_trailer",
}

// droppedNames by enum dropped of bpf/vipd_types.h.
var droppedNames = [...]string{
	"not_answering_arp", "not_answering_mac", "egress_not_answering_arp", "egress_not_answering_ip",
	"egress_not_answering_advert", "unicast_advert", "not_answering_nd", "egress_not_answering_nd",
}

// ifCountNames by enum if_count of bpf/vipd_types.h.
var ifCountNames = [...]string{"bad_vhid", "foreign_vrrp", "bad_length", TagsLost}

// TagsLost is the only reason in [Tables.InterfaceStats] for which frames are dropped: frames of a VLAN device into
// which the parent's program could not put the tags back.
const TagsLost = "tags_lost"

// RejectReasons names the elements of [GroupStats].Rejected.
func RejectReasons() []string { return slices.Clone(rejectNames[1:]) }

// DropReasons names the elements of [GroupStats].Dropped.
func DropReasons() []string { return slices.Clone(droppedNames[:]) }

// GroupStats counts since the group was added.
type GroupStats struct {
	// Received counts authentic adverts of other nodes.
	Received uint64
	// Rejected counts refused adverts, in the order of [RejectReasons].
	Rejected [len(rejectNames) - 1]uint64
	// Dropped counts frames dropped for other reasons, in the order of [DropReasons].
	Dropped [len(droppedNames)]uint64
	// Packets and Bytes count delivered frames to the virtual MAC.
	Packets, Bytes uint64
	// EventsLost counts adverts whose event found the ring full.
	EventsLost uint64
	// Yields counts generations that the kernel ended.
	Yields uint64
	// OwnCounter counts authentic adverts of others with a counter and digest of ours.
	OwnCounter uint64
	// ForeignVRRP counts well-formed VRRP adverts on the group's VHID.
	ForeignVRRP uint64
	// Hellos counts those of other vipd nodes that were accepted. Refused ones are in Rejected.
	Hellos uint64
	// NoRoom counts adverts and hellos of vipd nodes that the kernel had no room to remember.
	NoRoom uint64
	// Contexts splits Received by the index of the [AuthContext] that matched. A context that an update keeps takes its
	// count along to its new index; adverts that arrive during the update may be counted for its neighbour.
	Contexts []uint64
}

// VIPStats counts since the address was added to its group.
type VIPStats struct {
	Addr netip.Addr
	// ARPRequests counts requests for the VIP (gratuitous ones not included), ARPReplies the answers.
	ARPRequests, ARPReplies uint64
	// NDSolicitations and NDAdvertisements are the same for IPv6.
	NDSolicitations, NDAdvertisements uint64
	// ARPSuppressed requests were dropped because this node does not answer,
	// NDSuppressed solicitations likewise.
	ARPSuppressed, NDSuppressed uint64
	// UnseenAt is when a client last seemed not to see our answers, since it kept asking by broadcast (CLOCK_BOOTTIME ns).
	// 0: never.
	UnseenAt int64
	// ARPGratuitous counts announcements of the VIP that were passed on.
	ARPGratuitous uint64
	// Claims counts messages that gave the address to another MAC, see [Claim].
	Claims uint64
}

// Stats sums the group's counters over all CPUs.
func (g *Group) Stats() (GroupStats, error) {
	cpus, contexts, err := g.groupCounters()
	if err != nil {
		return GroupStats{}, err
	}
	st := sumGroup(cpus)
	st.Contexts = contexts
	return st, nil
}

// sumGroup adds up everything but the contexts, whose counts move.
func sumGroup(cpus []object.BPFGroupStats) (st GroupStats) {
	for i := range cpus {
		c := &cpus[i]
		st.Received += c.Received
		st.Packets += c.Packets
		st.Bytes += c.Bytes
		st.EventsLost += c.EventsLost
		st.Yields += c.Yields
		st.OwnCounter += c.OwnCounter
		st.ForeignVRRP += c.ForeignVrrp
		st.Hellos += c.Hellos
		st.NoRoom += c.NoRoom
		for r := range st.Rejected {
			st.Rejected[r] += c.Rejected[r+1]
		}
		for r := range st.Dropped {
			st.Dropped[r] += c.Dropped[r]
		}
	}
	return st
}

// groupCounters reads the counters of each CPU, and those of the contexts as
// [GroupStats] wants them.
func (g *Group) groupCounters() ([]object.BPFGroupStats, []uint64, error) {
	g.t.mu.RLock()
	defer g.t.mu.RUnlock()
	if err := g.usable(); err != nil {
		return nil, nil, err
	}
	var cpus []object.BPFGroupStats
	if err := g.t.maps.GroupStats.Lookup(g.slot, &cpus); err != nil {
		return nil, nil, fmt.Errorf("read the counters of %s: %w", g.name, err)
	}
	return cpus, g.contexts.counts(sumContexts(cpus)), nil
}

func sumContexts(cpus []object.BPFGroupStats) (sum [MaxContexts]uint64) {
	for i := range cpus {
		for c, n := range cpus[i].Contexts {
			sum[c] += n
		}
	}
	return sum
}

// VIPStats sums the counters of each of the group's addresses over all CPUs.
func (g *Group) VIPStats() (Addresses, error) {
	g.t.mu.RLock()
	defer g.t.mu.RUnlock()
	if err := g.usable(); err != nil {
		return nil, err
	}
	out := make(Addresses, 0, len(g.vips))
	for addr, slot := range g.vips {
		var cpus []object.BPFVipStats
		if err := g.t.maps.VipStats.Lookup(slot, &cpus); err != nil {
			return nil, fmt.Errorf("read the counters of %s on %s: %w", addr, g.name, err)
		}
		out = append(out, sumVIP(addr, cpus))
	}
	out.sort()
	return out, nil
}

// Addresses are those of a group with their counters, sorted: one map per group takes longer than everything else about
// reading 4,096 groups.
type Addresses []VIPStats

// Of returns the counters of an address, and zeros if the group has no such address.
func (a Addresses) Of(addr netip.Addr) VIPStats {
	i, ok := slices.BinarySearchFunc(a, addr, func(v VIPStats, addr netip.Addr) int { return v.Addr.Compare(addr) })
	if !ok {
		return VIPStats{Addr: addr}
	}
	return a[i]
}

func (a Addresses) sort() {
	slices.SortFunc(a, func(x, y VIPStats) int { return x.Addr.Compare(y.Addr) })
}

func sumVIP(addr netip.Addr, cpus []object.BPFVipStats) VIPStats {
	st := VIPStats{Addr: addr}
	for i := range cpus {
		c := &cpus[i]
		st.ARPRequests += c.ArpRequests
		st.ARPReplies += c.ArpReplies
		st.ARPSuppressed += c.ArpSuppressed
		st.ARPGratuitous += c.ArpGratuitous
		st.NDSolicitations += c.NdSolicitations
		st.NDAdvertisements += c.NdAdvertisements
		st.NDSuppressed += c.NdSuppressed
		st.Claims += c.Claims
		st.UnseenAt = max(st.UnseenAt, int64(c.UnseenAt))
	}
	return st
}

// InterfaceStats returns the counts of what came in on an interface and belongs to no group. Such frames pass, except
// for [TagsLost]. Every reason is present. An interface that is not attached has only zeros.
func (t *Tables) InterfaceStats(ifindex int) (map[string]uint64, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return nil, object.ErrClosed
	}
	out := make(map[string]uint64, len(ifCountNames))
	for _, name := range ifCountNames {
		out[name] = 0
	}
	var cpus []object.BPFIfStats
	err := t.maps.IfStats.Lookup(uint32(ifindex), &cpus)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the counters of interface %d: %w", ifindex, err)
	}
	for i := range cpus {
		for r, name := range ifCountNames {
			out[name] += cpus[i].Count[r]
		}
	}
	return out, nil
}
