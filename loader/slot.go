// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Who has the XDP slot, who comes before us, and how XDP takes over when the slot is free.

func slotTaken(ifname string, ifindex int, cause error) error {
	return fmt.Errorf("%w: %w", slotOwned(ifname, ifindex), cause)
}

// slotOwned names whose program is in the way.
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
	return fmt.Errorf("%w: %s of %s: take it off with `ip link set dev %s %s off` or end its owner (of a dead vipd: `vipd --cleanup`)",
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

// slotOwner is the id of the program in the XDP slot of an interface, 0 for none.
func slotOwner(ifindex int) uint32 {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil || l.Attrs().Xdp == nil || !l.Attrs().Xdp.Attached {
		return 0
	}
	if id := l.Attrs().Xdp.ProgId; id != 0 {
		return id
	}
	return ^uint32(0) // several at once: the kernel names none
}

// returnAtOnce is for the start, which takes what is free.
func (d *Dataplane) returnAtOnce(a *attachment, ifindex int) {
	if !a.standsIn() {
		return
	}
	if ways, err := d.xdpWays(a, ifindex); (err != nil || len(ways) > 0) && slotOwner(ifindex) == 0 {
		d.returnToXDP(a, ifindex)
	}
}

// xdpWays are those to XDP. None means that tc ingress is the place, and is noted.
func (d *Dataplane) xdpWays(a *attachment, ifindex int) ([]way, error) {
	ways, err := waysFor(ifindex, a.ifname, a.want)
	if err != nil {
		return nil, err
	}
	if ways = d.withTags(a, ifindex, ways); ways[0].mode == ModeTCX {
		a.stays, a.Note = true, ways[0].why
		return nil, nil
	}
	return slices.DeleteFunc(ways, func(w way) bool { return w.mode == ModeTCX }), nil
}

// returnToXDP puts XDP before what stands in for it, which goes later: in between a
// frame meets the one, the other or both, and never none. That both take in an advert
// is left to bpf/twice.h, which has to know before XDP is there.
func (d *Dataplane) returnToXDP(a *attachment, ifindex int) bool {
	ways, err := d.xdpWays(a, ifindex)
	if err == nil && len(ways) == 0 {
		return false
	}
	was := a.Attachment
	if err == nil {
		err = d.noteFlag(ifindex, ifaceBoth)
	}
	if err == nil {
		err = d.attachBy(a, ifindex, ways)
	}
	if err != nil {
		a.Attachment = was
		a.tries = min(a.tries+1, 10)
		a.freed = sinceBoot()
		d.opts.Log.Warn("xdp cannot take over from tc ingress again", "interface", a.ifname, "err", errors.Join(err, d.clearFlags(ifindex, ifaceBoth)))
		return false
	}
	a.both, a.owner, a.tries, a.freed = sinceBoot(), 0, 0, 0
	return true
}

// whoIsAhead names a program that was put before one of ours on tcx. What it lets pass
// with another verdict than "next" no program of ours sees.
func (d *Dataplane) whoIsAhead(a *attachment, ifindex int) string {
	if a.tcx != nil {
		if who := ahead(d.objs.VipdEgress, ifindex, ebpf.AttachTCXEgress); who != "" {
			return who + " comes before vipd on tcx egress: what it accepts passes the fence"
		}
	}
	if a.in != nil {
		if who := ahead(d.ingressProg, ifindex, ebpf.AttachTCXIngress); who != "" {
			return who + " comes before vipd on tcx ingress: what it accepts, drops or redirects vipd does not see"
		}
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
	id := uint32(q.Programs[0].ID)
	return fmt.Sprintf("program id %d (%s)", id, programName(id))
}
