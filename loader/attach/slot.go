// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// ErrSlotTaken means that the XDP slot of an interface holds another program.
var ErrSlotTaken = errors.New("xdp slot taken")

// Which program has the XDP slot, which programs come before ours on tcx, and how XDP takes over when the slot is free.

func slotTaken(ifname string, ifindex int, cause error) error {
	return fmt.Errorf("%w: %w", slotOwned(ifname, ifindex), cause)
}

// slotOwned returns an error that names the program in the slot.
func slotOwned(ifname string, ifindex int) error {
	what, off := "another program", "xdp"
	if l, err := netlink.LinkByIndex(ifindex); err == nil && l.Attrs().Xdp != nil && l.Attrs().Xdp.ProgId != 0 {
		x := l.Attrs().Xdp
		what = fmt.Sprintf("program id %d", x.ProgId)
		if name := programName(x.ProgId); name != "" {
			what += fmt.Sprintf(" (%s)", name)
		}
		const attachedSKB = 2 // XDP_ATTACHED_SKB
		if x.AttachMode == attachedSKB {
			off = "xdpgeneric"
		}
	}
	return fmt.Errorf("%w: %s of %s: take it off with `ip link set dev %s %s off` "+
		"or end its owner (of a dead vipd: `vipd --cleanup`)",
		ErrSlotTaken, what, ifname, ifname, off)
}

func programName(id uint32) string {
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return ""
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return ""
	}
	return info.Name
}

// slotOwner returns the id of the program in the XDP slot of an interface, 0 for none.
func slotOwner(ifindex int) uint32 {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil || l.Attrs().Xdp == nil || !l.Attrs().Xdp.Attached {
		return 0
	}
	if id := l.Attrs().Xdp.ProgId; id != 0 {
		return id
	}
	return ^uint32(0) // several at once: the kernel reports no id
}

// returnAtOnce lets XDP take a free slot without waiting, at the start.
func (h *Hooks) returnAtOnce(a *attachment, ifindex int) {
	if !a.standsIn() {
		return
	}
	if ways, err := h.xdpWays(a, ifindex); (err != nil || len(ways) > 0) && slotOwner(ifindex) == 0 {
		h.returnToXDP(a, ifindex)
	}
}

// xdpWays returns the ways to XDP. None means that tc ingress is the right place; the note then says why.
func (h *Hooks) xdpWays(a *attachment, ifindex int) ([]way, error) {
	ways, err := h.waysFor(ifindex, a.want)
	if err != nil {
		return nil, err
	}
	if ways = h.withTags(a, ifindex, ways); ways[0].mode == ModeTC {
		a.stays, a.Note, a.FellBack = true, ways[0].why, ways[0].fellBack
		return nil, nil
	}
	return slices.DeleteFunc(ways, func(w way) bool { return w.mode == ModeTC }), nil
}

// returnToXDP attaches XDP before its stand-in is detached: in between, a frame meets one of them or both, never none.
// bpf/twice.h keeps an advert from counting twice, and must know before XDP is attached.
func (h *Hooks) returnToXDP(a *attachment, ifindex int) bool {
	ways, err := h.xdpWays(a, ifindex)
	if err == nil && len(ways) == 0 {
		return false
	}
	was := a.Attachment
	if err == nil {
		err = h.noteFlag(ifindex, ifaceBoth)
	}
	if err == nil {
		err = h.attachBy(a, ifindex, ways)
	}
	if errors.Is(err, errMaster) { // look again after the same time
		a.Attachment, a.freed = was, sinceBoot()
		a.Note = errMaster.Error()
		if err := h.clearFlags(ifindex, ifaceBoth); err != nil {
			h.opts.Log.Warn("cannot note that xdp waits", "interface", a.ifname, "err", err)
		}
		return false
	}
	if err != nil {
		a.Attachment = was
		a.tries = min(a.tries+1, 10)
		a.freed = sinceBoot()
		err = errors.Join(err, h.clearFlags(ifindex, ifaceBoth))
		h.opts.Log.Warn("xdp cannot take over from tc ingress again", "interface", a.ifname, "err", err)
		return false
	}
	a.both, a.owner, a.tries, a.freed = sinceBoot(), 0, 0, 0
	return true
}

// slotEvery is how often the XDP slot is looked at where tc ingress is the right place: for the note alone.
const slotEvery = 10 * time.Second

// slotWatch is what was seen there.
type slotWatch struct {
	looked time.Duration // see sinceBoot
	who    string        // "" for none
}

// look returns the program in the XDP slot.
func (w *slotWatch) look(ifindex int, now time.Duration) string {
	if now-w.looked >= slotEvery {
		w.looked, w.who = now, ""
		if id := slotOwner(ifindex); id != 0 {
			w.who = named(id)
		}
	}
	return w.who
}

// whoIsAhead names a program before ours. Our program sees only what that one passes, on tcx with the verdict "next".
func (h *Hooks) whoIsAhead(a *attachment, ifindex int, now time.Duration) string {
	if a.tcx != nil {
		if who := ahead(h.set.VipdEgress, ifindex, ebpf.AttachTCXEgress); who != "" {
			return who + " comes before vipd on tcx egress: what it accepts passes the fence"
		}
		if who := secondFence(h.set.VipdEgress, ifindex); who != "" {
			return who + " of another vipd is on tcx egress as well: it drops adverts of its groups, whoever sends them; " +
				"end that vipd, or, if it is dead, stop this one and run `vipd --cleanup` with the config of that one"
		}
	}
	if a.stays && a.standsIn() {
		if who := a.slot.look(ifindex, now); who != "" {
			return who + " has the xdp slot: what it drops or redirects vipd does not see"
		}
	}
	if a.in == nil {
		return "" // asking for the program would load it
	}
	ingress, err := h.set.Ingress()
	if err != nil {
		return ""
	}
	if who := ahead(ingress, ifindex, ebpf.AttachTCXIngress); who != "" {
		return who + " comes before vipd on tcx ingress: what it accepts, drops or redirects vipd does not see"
	}
	return ""
}

func ahead(ours *ebpf.Program, ifindex int, at ebpf.AttachType) string {
	q, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: at})
	if err != nil || len(q.Programs) < 2 {
		return ""
	}
	info, err := ours.Info()
	if err != nil {
		return ""
	}
	if id, ok := info.ID(); !ok || q.Programs[0].ID == id {
		return ""
	}
	return named(uint32(q.Programs[0].ID))
}

// secondFence names the egress program of another vipd on the interface.
func secondFence(ours *ebpf.Program, ifindex int) string {
	q, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: ebpf.AttachTCXEgress})
	if err != nil || len(q.Programs) < 2 {
		return ""
	}
	info, err := ours.Info()
	if err != nil {
		return ""
	}
	id, ok := info.ID()
	for _, p := range q.Programs {
		if ok && p.ID != id && programName(uint32(p.ID)) == info.Name {
			return named(uint32(p.ID))
		}
	}
	return ""
}

// named is how notes name a program.
func named(id uint32) string { return fmt.Sprintf("program id %d (%s)", id, programName(id)) }
