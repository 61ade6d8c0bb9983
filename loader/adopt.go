// SPDX-License-Identifier: Apache-2.0

package loader

import "net/netip"

// PinnedGroup is what an earlier vipd left of a group, as the kernel knows it: it goes
// on with that, also while nobody watches, until the lease ends.
type PinnedGroup struct {
	IfIndex int
	VHID    uint8
	// Role is in force. A new promotion needs a higher generation than every pinned one.
	Role Role
	// SentPriority is what foreign adverts are compared with.
	SentPriority Priority
	// Seen is the newest advert; its YieldedGeneration may have ended Role.
	Seen Seen
	// VIPs are fenced, and answered for while the group answers. Ascending.
	VIPs []netip.Addr
}

// Pinned lists the groups that [Open] adopted and nobody claimed yet with
// [Dataplane.AddGroup], by interface and VHID. AddGroup of one of them keeps its role,
// its record and its counters; addresses that its GroupSpec has no more have to be off
// the interface before, since they lose their fence.
func (d *Dataplane) Pinned() []PinnedGroup {
	return nil
}

// Unclaimed lists the addresses of groups that were adopted and not claimed. Take them
// off their interfaces, then call [Dataplane.DropUnclaimed].
func (d *Dataplane) Unclaimed() []LeftVIP {
	return nil
}

// DropUnclaimed removes the groups that were adopted and not claimed, and detaches
// from the adopted interfaces that nobody attached to. It returns the addresses that
// have lost their fence: the same that [Dataplane.Unclaimed] tells beforehand.
func (d *Dataplane) DropUnclaimed() ([]LeftVIP, error) {
	return nil, nil
}
