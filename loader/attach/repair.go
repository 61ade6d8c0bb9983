// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Any process with the right to may detach a link or delete a filter, and netlink reports neither. A program on tc
// ingress that stands in for XDP has to give way when the XDP slot becomes free. So all attachments are checked again
// and again.

// Hooks that a program may be missing from.
const (
	HookXDP     = "xdp"
	HookIngress = "ingress" // of tc
	HookEgress  = "egress"
)

// HookNames lists the possible elements of [Repaired].Lost.
func HookNames() []string { return []string{HookXDP, HookIngress, HookEgress} }

const (
	// slotRest is how long the XDP slot must be free before vipd takes it: its last user may only be restarting, and would
	// find the slot taken.
	slotRest = 10 * time.Second
	// maxSlotRest bounds that time, which doubles with each failure.
	maxSlotRest = 10 * time.Minute
	// bothFor is how long XDP and its stand-in are attached together, for frames that passed the XDP hook before XDP was
	// attached and have yet to reach tc.
	bothFor = 100 * time.Millisecond
)

// upkeep is the state of an attachment between checks.
type upkeep struct {
	want  Mode
	owner uint32        // the foreign program in the XDP slot, 0 for none
	freed time.Duration // when the slot was first seen free (sinceBoot); 0 if it is taken
	tries int           // failed attempts to take the slot
	both  time.Duration // since when XDP and its stand-in are both attached; 0 if they are not
	ahead string        // the programs before ours
	stays bool          // on tc ingress even if the slot is free
	slot  slotWatch     // if it stays
	// interrupted counts how often no receiving program was attached.
	interrupted uint64
	tags        tagWatch
}

// Repaired is what [Hooks.Repair] found and repaired.
type Repaired struct {
	Attachment
	// Lost are the hooks from which a program of ours was missing. It is attached again; for HookXDP, Mode is what
	// replaced it.
	Lost []string
	// Returned reports that XDP has taken over from its stand-in.
	Returned bool
	// Offloads are those (by ethtool's names) that were switched on again since the last check and hide VLAN tags from
	// XDP. They are off again, unless Mode is tc.
	Offloads []string
}

// look is the result of a check.
type look struct {
	lost  []string
	free  bool   // vipd may take the XDP slot
	done  bool   // the stand-in may be detached
	owner uint32 // like upkeep.owner
	ahead string
	tags  []string // offloads that hide tags from XDP
}

// NeedRepair lists the attached interfaces on which [Hooks.Repair] has something to do. It is called often and delays
// only Attach and similar calls.
func (h *Hooks) NeedRepair() []int {
	h.endSeries()
	var out []int
	for _, ifindex := range h.attachedTo() {
		h.mu.Lock()
		if a := h.repairable(ifindex); a != nil {
			if l := h.look(a, ifindex, sinceBoot()); !l.inOrder(a) {
				out = append(out, ifindex)
			}
		}
		h.mu.Unlock()
	}
	return out
}

func (h *Hooks) endSeries() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.series.end(); err != nil {
		h.opts.Log.Warn("cannot let go of detached links", "err", err)
	}
}

func (h *Hooks) attachedTo() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.attached))
}

// repairable returns nil for an interface without groups of its own.
func (h *Hooks) repairable(ifindex int) *attachment {
	a := h.attached[ifindex]
	if h.closed || a == nil || a.carrier || !a.claimed || a.Mode == "" {
		return nil
	}
	return a
}

// Attended reports whether the receiving program of an interface is attached, and how often it was found missing since
// [Hooks.Attach]. While it was missing, silence of a peer proves nothing.
func (h *Hooks) Attended(ifindex int) (interrupted uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.repairable(ifindex)
	if a == nil {
		return 0, false
	}
	return a.interrupted, len(h.lostIngress(a, ifindex)) == 0
}

func receives(hook string) bool { return hook != HookEgress }

// Repair attaches again what another process detached, lets XDP take over if its slot has been free for a while, and
// looks up who owns the slot. It may take as long as [Hooks.Attach], and delays no group. After an error the interface
// has to be detached. An interface that is not attached, or has vanished, needs nothing.
func (h *Hooks) Repair(ifindex int) (Repaired, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.repairable(ifindex)
	if a == nil {
		return Repaired{}, nil
	}
	l := h.look(a, ifindex, sinceBoot())
	s := Repaired{Lost: l.lost, Offloads: l.tags}
	if len(l.tags) > 0 && h.showAgain(a, ifindex) != nil {
		l.lost = []string{HookXDP} // falls back to tc ingress, which sees tags
	}
	if err := h.replace(a, ifindex, l.lost); err != nil {
		return s, fmt.Errorf("attach again to %s: %w", a.ifname, err)
	}
	switch {
	case l.done:
		if err := h.dropIngress(a, ifindex); err != nil {
			return s, fmt.Errorf("end tc ingress on %s: %w", a.ifname, err)
		}
		a.both = 0
	case l.free:
		s.Returned = h.returnToXDP(a, ifindex)
	case l.owner != 0 && l.owner != a.owner:
		a.owner = l.owner
		a.Note = slotOwned(a.ifname, ifindex).Error()
	}
	a.ahead = l.ahead
	s.Attachment = a.shown()
	return s, nil
}

// shown returns the attachment with all notes.
func (a *attachment) shown() Attachment {
	out := a.Attachment
	for _, note := range []string{a.ahead, a.tags.note(a.ifname)} {
		switch {
		case note == "":
		case out.Note == "":
			out.Note = note
		default:
			out.Note += "; " + note
		}
	}
	return out
}

// look changes only upkeep.freed, upkeep.slot and the time of the last look at the offloads.
func (h *Hooks) look(a *attachment, ifindex int, now time.Duration) look {
	l := look{lost: h.lost(a, ifindex), ahead: h.whoIsAhead(a, ifindex, now)}
	if len(l.lost) > 0 {
		if _, err := netlink.LinkByIndex(ifindex); errors.As(err, &netlink.LinkNotFoundError{}) {
			l.lost = nil // the interface vanished with everything: nothing to repair
		}
	}
	if len(l.lost) == 0 {
		l.tags = h.hiding(a, now)
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
	l.free = now-a.freed >= min(h.opts.SlotRest<<a.tries, maxSlotRest)
	return l
}

func (l look) inOrder(a *attachment) bool {
	return len(l.lost) == 0 && len(l.tags) == 0 && !l.free && !l.done && l.ahead == a.ahead &&
		(l.owner == 0 || l.owner == a.owner)
}

// lost lists the hooks from which a program of ours is missing.
func (h *Hooks) lost(a *attachment, ifindex int) []string {
	lost := h.lostIngress(a, ifindex)
	if a.tcx != nil && !sitsOn(a.tcx, ifindex) ||
		a.Egress == EgressClsact && !h.hasFilter(ifindex, netlink.HANDLE_MIN_EGRESS) {
		lost = append(lost, HookEgress)
	}
	return lost
}

// lostIngress lists those of them that receive.
func (h *Hooks) lostIngress(a *attachment, ifindex int) []string {
	var lost []string
	xdp, at := a.xdp, ifindex
	if p := h.attached[a.vlan.parent]; p != nil {
		xdp, at = p.xdp, a.vlan.parent
	}
	if a.vlan.parent != 0 && xdp == nil || xdp != nil && !sitsOn(xdp, at) {
		lost = append(lost, HookXDP)
	}
	if a.in != nil && !sitsOn(a.in, ifindex) || a.filter && !h.hasFilter(ifindex, netlink.HANDLE_MIN_INGRESS) {
		lost = append(lost, HookIngress)
	}
	return lost
}

// replace attaches what is lost, the fence first.
func (h *Hooks) replace(a *attachment, ifindex int, lost []string) error {
	if slices.Contains(lost, HookEgress) {
		err := dropLink(a.tcx)
		a.tcx, a.Egress = nil, ""
		if err = errors.Join(err, h.attachEgress(a, ifindex)); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(lost, receives) {
		return nil
	}
	for _, other := range h.attached {
		if other == a || a.vlan.parent != 0 && other.vlan.parent == a.vlan.parent {
			other.interrupted++
		}
	}
	if !slices.Contains(lost, HookXDP) {
		err := dropLink(a.in)
		a.in, a.filter = nil, false
		if a.both != 0 {
			a.both = 0
			return errors.Join(err, h.clearFlags(ifindex, ifaceIngress|ifaceBoth))
		}
		return errors.Join(err, h.attachIngress(a, ifindex))
	}
	// A stand-in that is still attached goes too: everything is attached anew.
	a.both, a.owner, a.freed, a.tries = 0, 0, 0, 0
	err := dropLink(a.xdp)
	a.xdp = nil
	err = errors.Join(err, h.uncarry(a))
	if a.standsIn() {
		err = errors.Join(err, h.dropIngress(a, ifindex))
	}
	ways, waysErr := h.waysFor(ifindex, a.want)
	if err = errors.Join(err, waysErr); err != nil {
		return err
	}
	return h.attachBy(a, ifindex, h.withTags(a, ifindex, ways))
}

// hasFilter reports whether our filter is on one side of clsact, and true if that cannot be found out.
func (h *Hooks) hasFilter(ifindex int, side uint32) bool {
	filters, err := netlink.FilterList(linkIndex(ifindex), side)
	if noClsact(err) {
		return false
	}
	return err != nil || slices.ContainsFunc(filters, func(f netlink.Filter) bool {
		b, ok := f.(*netlink.BpfFilter)
		return ok && h.filters.alone(b)
	})
}

// sinceBoot reads CLOCK_BOOTTIME, the only clock that decides anything.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("read CLOCK_BOOTTIME: %v", err)) // Linux has it since 2.6.39
	}
	return time.Duration(ts.Nano())
}
