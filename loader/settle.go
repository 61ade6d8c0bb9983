// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Programs do not stay where they were put: whoever has the right to may detach a link or
// delete a filter, and netlink tells of none of that. And what stands in for XDP is to
// give way when the slot is free. So everything attached is looked at again and again.

// Hooks that a program may be gone from.
const (
	HookXDP     = "xdp"
	HookIngress = "ingress" // in the place of xdp
	HookEgress  = "egress"
)

// Hooks lists what [Settled].Lost may have.
func Hooks() []string { return []string{HookXDP, HookIngress, HookEgress} }

const (
	// slotRest is how long the XDP slot has to be free before it is taken: whoever had it
	// may only be restarting, and would find it taken.
	slotRest = 10 * time.Second
	// maxSlotRest is how long it may become when taking it does not work.
	maxSlotRest = 10 * time.Minute
	// bothFor is how long XDP and what stood in for it are there together, for the frames
	// that had passed the one place before XDP was there and are yet to pass the other.
	bothFor = 100 * time.Millisecond
)

// upkeep is what is remembered of an attachment from one look to the next.
type upkeep struct {
	want  Mode
	owner uint32        // the program in the XDP slot while it is another's, 0 for none
	freed time.Duration // when the slot was first seen free, see sinceBoot; 0 if it is not
	tries int           // to take it, in vain
	both  time.Duration // since when XDP and its stand-in are both there; 0 if they are not
	ahead string        // who comes before us on tcx
	stays bool          // on tc ingress, whosoever the slot is: XDP would not do
	// interrupted counts how often nobody was there to receive.
	interrupted uint64
}

// Settled is what [Dataplane.Settle] found and did.
type Settled struct {
	Attachment
	// Lost are the hooks from which a program of ours was gone; it is there again, or, in
	// the place of one on HookXDP, what Mode says.
	Lost []string
	// Returned says that XDP has taken over again from what stood in for it.
	Returned bool
}

// look is how an attachment is found.
type look struct {
	lost  []string
	free  bool   // the XDP slot may be taken
	done  bool   // what stood in for XDP may go
	owner uint32 // as upkeep.owner
	ahead string
}

// Unsettled lists the attached interfaces that [Dataplane.Settle] has something to do on.
// It is to be called often, and holds up nobody but Attach and its like.
func (d *Dataplane) Unsettled() []int {
	var out []int
	for _, ifindex := range d.attachedTo() {
		d.hooks.Lock()
		if a := d.settleable(ifindex); a != nil {
			if l := d.look(a, ifindex, sinceBoot()); !l.settled(a) {
				out = append(out, ifindex)
			}
		}
		d.hooks.Unlock()
	}
	return out
}

func (d *Dataplane) attachedTo() []int {
	d.hooks.Lock()
	defer d.hooks.Unlock()
	return slices.Sorted(maps.Keys(d.attached))
}

// settleable is nil for what is not there for groups of its own.
func (d *Dataplane) settleable(ifindex int) *attachment {
	a := d.attached[ifindex]
	if d.closed || a == nil || a.carrier || !a.claimed || a.Mode == "" {
		return nil
	}
	return a
}

// Listening says whether the program that receives for an interface is where it belongs,
// and how often it was found gone since [Dataplane.Attach]. What was not heard meanwhile
// was not said for nobody.
func (d *Dataplane) Listening(ifindex int) (interrupted uint64, ok bool) {
	d.hooks.Lock()
	defer d.hooks.Unlock()
	a := d.settleable(ifindex)
	if a == nil {
		return 0, false
	}
	return a.interrupted, !slices.ContainsFunc(d.lost(a, ifindex), receives)
}

func receives(hook string) bool { return hook != HookEgress }

// Settle puts back what somebody took off an interface, lets XDP take over again where
// its slot has become free for a while, and reads anew whose it is. It may take as long
// as [Dataplane.Attach], and holds up no group. The error leaves the interface to be
// detached; one that is not attached, or is gone, has nothing to settle.
func (d *Dataplane) Settle(ifindex int) (Settled, error) {
	d.hooks.Lock()
	defer d.hooks.Unlock()
	a := d.settleable(ifindex)
	if a == nil {
		return Settled{}, nil
	}
	l := d.look(a, ifindex, sinceBoot())
	s := Settled{Lost: l.lost}
	if err := d.replace(a, ifindex, l.lost); err != nil {
		return s, fmt.Errorf("attach again to %s: %w", a.ifname, err)
	}
	switch {
	case l.done:
		if err := d.dropIngress(a, ifindex); err != nil {
			return s, fmt.Errorf("end tc ingress on %s: %w", a.ifname, err)
		}
		a.both = 0
	case l.free:
		s.Returned = d.returnToXDP(a, ifindex)
	case l.owner != 0 && l.owner != a.owner:
		a.owner = l.owner
		a.Note = slotOwned(a.ifname, ifindex).Error()
	}
	a.ahead = l.ahead
	s.Attachment = a.shown()
	return s, nil
}

// shown is the attachment with all that is to be said of it.
func (a *attachment) shown() Attachment {
	out := a.Attachment
	switch {
	case a.ahead == "":
	case out.Note == "":
		out.Note = a.ahead
	default:
		out.Note += "; " + a.ahead
	}
	return out
}

// look changes nothing but upkeep.freed.
func (d *Dataplane) look(a *attachment, ifindex int, now time.Duration) look {
	l := look{lost: d.lost(a, ifindex), ahead: d.whoIsAhead(a, ifindex)}
	if len(l.lost) > 0 {
		if _, err := netlink.LinkByIndex(ifindex); errors.As(err, &netlink.LinkNotFoundError{}) {
			l.lost = nil // all of it, with its interface: nothing is to be put back
		}
	}
	if !a.standsIn() {
		return l
	}
	if a.both != 0 {
		l.done = now-a.both >= bothFor
		return l
	}
	if a.stays {
		return l
	}
	if l.owner = slotOwner(ifindex); l.owner != 0 {
		a.freed = 0
		return l
	}
	if a.freed == 0 {
		a.freed = now
	}
	l.free = now-a.freed >= min(d.opts.slotRest<<a.tries, maxSlotRest)
	return l
}

func (l look) settled(a *attachment) bool {
	return len(l.lost) == 0 && !l.free && !l.done && l.ahead == a.ahead && (l.owner == 0 || l.owner == a.owner)
}

// lost lists the hooks that a program of ours should be on and is not.
func (d *Dataplane) lost(a *attachment, ifindex int) []string {
	var lost []string
	xdp, at := a.xdp, ifindex
	if p := d.attached[a.vlan.parent]; p != nil {
		xdp, at = p.xdp, a.vlan.parent
	}
	if a.vlan.parent != 0 && xdp == nil || xdp != nil && !sitsOn(xdp, at) {
		lost = append(lost, HookXDP)
	}
	if a.in != nil && !sitsOn(a.in, ifindex) || a.filter && !hasFilter(ifindex, netlink.HANDLE_MIN_INGRESS) {
		lost = append(lost, HookIngress)
	}
	if a.tcx != nil && !sitsOn(a.tcx, ifindex) || a.Egress == EgressClsact && !hasFilter(ifindex, netlink.HANDLE_MIN_EGRESS) {
		lost = append(lost, HookEgress)
	}
	return lost
}

// replace puts back what is lost, the fence first.
func (d *Dataplane) replace(a *attachment, ifindex int, lost []string) error {
	if slices.Contains(lost, HookEgress) {
		err := dropLink(a.tcx)
		a.tcx, a.Egress = nil, ""
		if err = errors.Join(err, d.attachEgress(a, ifindex)); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(lost, receives) {
		return nil
	}
	for _, other := range d.attached {
		if other == a || a.vlan.parent != 0 && other.vlan.parent == a.vlan.parent {
			other.interrupted++
		}
	}
	if !slices.Contains(lost, HookXDP) {
		err := dropLink(a.in)
		a.in, a.filter = nil, false
		if a.both != 0 {
			a.both = 0
			return errors.Join(err, d.clearFlags(ifindex, ifaceIngress|ifaceBoth))
		}
		return errors.Join(err, d.attachIngress(a, ifindex))
	}
	// A stand-in that is still there goes as well: what is made now is made from scratch.
	a.both, a.owner, a.freed, a.tries = 0, 0, 0, 0
	err := dropLink(a.xdp)
	a.xdp = nil
	err = errors.Join(err, d.uncarry(a))
	if a.standsIn() {
		err = errors.Join(err, d.dropIngress(a, ifindex))
	}
	ways, waysErr := waysFor(ifindex, a.ifname, a.want)
	if err = errors.Join(err, waysErr); err != nil {
		return err
	}
	return d.attachBy(a, ifindex, d.withTags(a, ifindex, ways))
}

// hasFilter says whether our filter is on one of clsact's two sides. If that cannot be
// found out it is.
func hasFilter(ifindex int, side uint32) bool {
	filters, err := netlink.FilterList(linkIndex(ifindex), side)
	if noClsact(err) {
		return false
	}
	return err != nil || slices.ContainsFunc(filters, func(f netlink.Filter) bool {
		b, ok := f.(*netlink.BpfFilter)
		return ok && b.Name == filterName
	})
}

// sinceBoot is CLOCK_BOOTTIME, the one clock that anything is decided by.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("read CLOCK_BOOTTIME: %v", err)) // Linux has it since 2.6.39
	}
	return time.Duration(ts.Nano())
}
