// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vipd/loader/object"
)

// Mode is where the receiving program is attached: as XDP in the driver (native) or in the stack (generic), or on tc
// ingress.
type Mode string

// Modes. Only a config has auto: it means native where the driver can do it, else tc. Where the requested XDP does not
// work, or would not see VLAN tags, auto and generic fall back to tc.
const (
	ModeAuto    Mode = "auto"
	ModeNative  Mode = "native"
	ModeTC      Mode = "tc"
	ModeGeneric Mode = "generic"
)

// How the programs on tc are attached.
const (
	EgressTCX    = "tcx"
	EgressClsact = "clsact"
)

// Attachment reports how the programs are attached to an interface.
type Attachment struct {
	Mode   Mode   // native, tc or generic
	Egress string // tcx or clsact; tc ingress is the same
	// Parent is the interface whose program serves this VLAN device by its tags; "" if the program is on the interface
	// itself.
	Parent string
	// Note is the reason for not using a better mode; "" if there is no better one, or it was requested.
	Note string
	// FellBack is why native mode was given up, one of [FallbackReasons]; "" if it was not.
	FellBack string
}

// Values of [Attachment].FellBack.
const (
	FellBackFailed = "attach_failed"
	FellBackUnseen = "answers_unseen"
)

// FallbackReasons lists them.
func FallbackReasons() []string { return []string{FellBackFailed, FellBackUnseen} }

type attachment struct {
	Attachment
	ifname  string
	xdp     link.Link  // nil with a parent, and after adopting an incomplete attachment
	in      link.Link  // instead of xdp, or briefly beside it (see returnToXDP)
	filter  bool       // the same as a clsact filter
	tcx     link.Link  // nil with clsact
	vlan    vlanDevice // served by its parent; zero if not
	carrier bool       // attached for VLAN devices only
	claimed bool       // by Attach; false if only adopted
	adopted bool
	upkeep
}

func (a *attachment) close() error {
	var errs []error
	for _, l := range []link.Link{a.xdp, a.in, a.tcx} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// alive reports whether all programs are still on the interface: an interface that vanished may have come back under
// its old index.
func (h *Hooks) alive(a *attachment, ifindex int) bool {
	if a.Egress == "" || a.xdp == nil && a.vlan.parent == 0 && !a.standsIn() || len(h.lost(a, ifindex)) > 0 {
		return false
	}
	if a.vlan.parent == 0 {
		return true
	}
	v, err := vlanOf(ifindex)
	return err == nil && v == a.vlan
}

func sitsOn(l link.Link, ifindex int) bool {
	info, err := l.Info()
	if err != nil {
		return false
	}
	if x := info.XDP(); x != nil {
		return int(x.Ifindex) == ifindex
	}
	x := info.TCX()
	return x != nil && int(x.Ifindex) == ifindex
}

// Attach attaches both programs to an interface of the calling thread's network namespace. It is idempotent; a change
// of mode detaches first. It fails with [ErrSlotTaken] if another process's XDP program is attached.
func (h *Hooks) Attach(ifindex int, ifname string, want Mode) (Attachment, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return Attachment{}, object.ErrClosed
	}
	ways, err := h.waysFor(ifindex, want)
	if err = errors.Join(err, h.series.end()); err != nil { // their pins may still exist
		return Attachment{}, err
	}
	a := h.attached[ifindex]
	if a != nil && !a.carrier {
		first := !a.claimed
		a.claimed, a.want = true, want
		if h.alive(a, ifindex) && h.suits(a, ifindex, ways) {
			if first { // adopted: a start takes a free slot at once
				h.returnAtOnce(a, ifindex)
			}
			return a.shown(), nil
		}
		if a.Mode != "" { // else it is incomplete
			if err := h.takeOff(ifindex); err != nil { // keeps the counters
				return Attachment{}, err
			}
			a = h.attached[ifindex] // may be a carrier
		}
	}
	if a == nil {
		a = &attachment{ifname: ifname}
		h.attached[ifindex] = a
	}
	a.claimed, a.carrier, a.want = true, false, want
	if err := h.attach(a, ifindex, ways); err != nil {
		return Attachment{}, errors.Join(err, h.detach(ifindex))
	}
	attrs := []any{"interface", ifname, "mode", a.Mode, "egress", a.Egress}
	if a.Parent != "" {
		attrs = append(attrs, "parent", a.Parent)
	}
	if a.Note != "" {
		attrs = append(attrs, "note", a.Note)
	}
	h.opts.Log.Info("data plane attached", attrs...)
	return a.shown(), nil
}

// suits reports whether the mode in use is one of the ways.
func (h *Hooks) suits(a *attachment, ifindex int, ways []way) bool {
	return slices.ContainsFunc(ways, func(w way) bool {
		return w.mode == a.Mode && (!w.waiting || h.mayReset(nicOf(ifindex)) != nil)
	})
}

// way is one way to attach the receiving program.
type way struct {
	mode Mode
	vlan *vlanDevice // on its parent
	why  string      // why no better way is tried
	// waiting means: only until native mode may be attached.
	waiting  bool
	fellBack string // why native mode was given up
}

// waysFor lists the ways to try, best first.
func (h *Hooks) waysFor(ifindex int, want Mode) ([]way, error) {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return nil, fmt.Errorf("look up interface %d: %w", ifindex, err)
	}
	if err := refuseTagged(l); err != nil {
		return nil, err
	}
	switch want {
	case ModeNative:
		native, err := nativeWay(l)
		if err != nil {
			return nil, fmt.Errorf("no native xdp on %s: %w; set xdp mode to auto or tc", l.Attrs().Name, err)
		}
		return []way{native, {mode: ModeTC, waiting: true}}, nil
	case ModeTC:
		return []way{{mode: ModeTC}}, nil
	case ModeGeneric:
		if why := untagged(l); why != nil {
			return []way{{mode: ModeTC, why: why.Error()}}, nil
		}
		return []way{{mode: ModeGeneric}, {mode: ModeTC}}, nil
	case ModeAuto, "":
		if flags, err := h.flags(ifindex); err != nil || flags&ifaceFellBack != 0 {
			return []way{{mode: ModeTC, why: whyUnseen, fellBack: FellBackUnseen}}, err
		}
		native, err := nativeWay(l)
		if err == nil {
			err = h.driverLacks(l, native)
		}
		if err != nil {
			return []way{{mode: ModeTC, why: err.Error()}}, nil
		}
		return []way{native, {mode: ModeTC}}, nil
	}
	return nil, fmt.Errorf("xdp mode %q: want auto, native, tc or generic", want)
}

// nativeWay returns the way to native mode, whatever the driver can do: a VLAN device has it on its parent.
func nativeWay(l netlink.Link) (way, error) {
	if why := untagged(l); why != nil {
		return way{}, why
	}
	v, err := vlanOf(l.Attrs().Index)
	switch {
	case errors.Is(err, errNoVLAN):
		return way{mode: ModeNative}, nil
	case err != nil:
		return way{}, err
	}
	return way{mode: ModeNative, vlan: &v}, nil
}

// driverLacks returns why the driver cannot do native mode; nil if it can.
func (h *Hooks) driverLacks(l netlink.Link, native way) error {
	if native.vlan == nil {
		return h.drivers.lacks(l)
	}
	parent, err := netlink.LinkByIndex(native.vlan.parent)
	if err != nil {
		return fmt.Errorf("look up interface %d: %w", native.vlan.parent, err)
	}
	if err := errors.Join(untagged(parent), h.drivers.lacks(parent)); err != nil {
		return fmt.Errorf("on its parent %s: %w", parent.Attrs().Name, err)
	}
	return nil
}

// attach attaches the fence before the program that answers.
func (h *Hooks) attach(a *attachment, ifindex int, ways []way) error {
	if err := h.noteInterface(ifindex, 0); err != nil {
		return err
	}
	inUse := func(other uint32) bool {
		_, later := h.inherited[int(other)]
		return later || h.attached[int(other)] != nil
	}
	if err := h.counters().make(ifindex, inUse); err != nil {
		return fmt.Errorf("make the counters of %s: %w", a.ifname, err)
	}
	if a.Egress == "" {
		if err := h.attachEgress(a, ifindex); err != nil {
			return err
		}
	}
	if a.xdp != nil { // already attached, as a carrier
		return nil
	}
	return h.attachBy(a, ifindex, h.withTags(a, ifindex, ways))
}

// attachBy attaches the receiving program by the first way that works.
func (h *Hooks) attachBy(a *attachment, ifindex int, ways []way) (err error) {
	a.Note, a.Parent, a.FellBack = "", "", ""
	var errs []error
	for i, w := range ways {
		if w.waiting && !errors.Is(err, errMaster) {
			continue
		}
		switch {
		case w.vlan != nil:
			err = h.carry(a, ifindex, *w.vlan)
		case w.mode == ModeTC:
			err = h.attachIngress(a, ifindex)
		default:
			err = h.attachXDP(a, ifindex, w.mode)
		}
		if err == nil {
			if w.why != "" {
				a.Note = w.why
			}
			// Only a taken slot and a MASTER are reasons to try again.
			tried := errors.Join(errs...)
			a.stays = w.mode == ModeTC && !errors.Is(tried, ErrSlotTaken) && !errors.Is(tried, errMaster)
			if a.FellBack = w.fellBack; a.stays && tried != nil {
				a.FellBack = FellBackFailed
			}
			return nil
		}
		errs = append(errs, err)
		if slices.ContainsFunc(ways[i+1:], func(next way) bool { return !next.waiting || errors.Is(err, errMaster) }) {
			a.Note = errors.Join(errs...).Error()
			h.opts.Log.Warn("cannot attach in this mode, trying the next", "interface", a.ifname, "mode", w.mode, "err", err)
		}
	}
	return errors.Join(errs...)
}

// noteInterface creates the entry by which a later process finds what is attached.
func (h *Hooks) noteInterface(ifindex int, flags uint32) error {
	err := h.set.Ifaces.Update(uint32(ifindex), object.BPFIface{Flags: flags}, ebpf.UpdateNoExist)
	if errors.Is(err, ebpf.ErrKeyExist) { // adopted incomplete, or a carrier
		var v object.BPFIface
		if err = h.set.Ifaces.Lookup(uint32(ifindex), &v); err == nil {
			v.Flags = v.Flags&^ifaceCarrier | flags
			err = h.set.Ifaces.Put(uint32(ifindex), v)
		}
	}
	if err != nil {
		return fmt.Errorf("note interface %d: %w", ifindex, err)
	}
	return nil
}

// withTags returns the ways in which the program sees VLAN tags.
func (h *Hooks) withTags(a *attachment, ifindex int, ways []way) []way {
	if ways[0].mode == ModeTC { // sees tags whatever the offloads
		return ways
	}
	if err := h.showTags(a, ifindex); err != nil {
		return h.seeingTags(a, ways, err)
	}
	return ways
}

// showTags makes VLAN tags visible to XDP.
func (h *Hooks) showTags(a *attachment, ifindex int) error {
	wasOn, err := switchOff(h.nic, a.ifname)
	if wasOn != 0 {
		err = errors.Join(err, h.noteFlag(ifindex, wasOn))
	}
	return err
}

// noteFlag records what a later process has to undo.
func (h *Hooks) noteFlag(ifindex int, flag uint32) error {
	key := uint32(ifindex)
	var v object.BPFIface
	if err := h.set.Ifaces.Lookup(key, &v); err != nil {
		return fmt.Errorf("look up what was attached to interface %d: %w", ifindex, err)
	}
	v.Flags |= flag
	if err := h.set.Ifaces.Put(key, v); err != nil {
		return fmt.Errorf("note what is attached to interface %d: %w", ifindex, err)
	}
	return nil
}

// clearFlags reverses noteFlag.
func (h *Hooks) clearFlags(ifindex int, flags uint32) error {
	var v object.BPFIface
	if err := h.set.Ifaces.Lookup(uint32(ifindex), &v); err != nil {
		return fmt.Errorf("look up what was attached to interface %d: %w", ifindex, err)
	}
	if v.Flags&flags == 0 {
		return nil
	}
	v.Flags &^= flags
	if err := h.set.Ifaces.Put(uint32(ifindex), v); err != nil {
		return fmt.Errorf("note what is attached to interface %d: %w", ifindex, err)
	}
	return nil
}

func (h *Hooks) attachXDP(a *attachment, ifindex int, mode Mode) error {
	flags := link.XDPGenericMode
	if mode == ModeNative {
		if err := h.mayReset(ifindex); err != nil {
			return err
		}
		flags = link.XDPDriverMode
		h.resets.note(ifindex)
		defer h.resets.note(ifindex)
	}
	p, err := h.set.XDP(mode == ModeNative)
	if err != nil {
		return err
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: ifindex, Flags: flags})
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		return slotTaken(a.ifname, ifindex, err)
	case mode == ModeNative && errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf(
			"attach xdp to %s: its driver has no native mode: set xdp mode to auto or tc: %w",
			a.ifname,
			err,
		)
	case err != nil:
		return fmt.Errorf("attach xdp to %s in mode %s: %w", a.ifname, mode, err)
	}
	if err := l.Pin(h.linkPin(ifindex, "xdp")); err != nil {
		return errors.Join(fmt.Errorf("pin the xdp link of %s: %w", a.ifname, err), dropLink(l))
	}
	a.xdp, a.Mode = l, mode
	return nil
}

func (h *Hooks) linkPin(ifindex int, hook string) string {
	return filepath.Join(object.PinDir(h.opts.Dir), fmt.Sprintf("link-%d-%s", ifindex, hook))
}

// Detach detaches both programs. It is not an error if the interface is not attached or no longer exists.
func (h *Hooks) Detach(ifindex int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return object.ErrClosed
	}
	return h.detach(ifindex)
}

// detach also removes the counters: the interface may be gone.
func (h *Hooks) detach(ifindex int) error {
	return errors.Join(h.takeOff(ifindex), h.counters().drop(uint32(ifindex)))
}

// takeOff detaches, but leaves on a parent what its VLAN devices need.
func (h *Hooks) takeOff(ifindex int) error {
	a := h.attached[ifindex]
	if a == nil {
		return nil
	}
	if !a.carrier && h.carries(ifindex) {
		return h.onlyCarry(ifindex, a)
	}
	delete(h.attached, ifindex)
	flags, err := h.flags(ifindex)
	if err != nil {
		return err
	}
	// The answering program first, then the fence.
	errs := []error{
		dropLink(a.xdp), h.series.dropTCX(a.in), h.uncarry(a), h.series.dropTCX(a.tcx), undo(ifindex, flags, h.filters),
	}
	if err := h.set.Ifaces.Delete(uint32(ifindex)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detach from %s: %w", a.ifname, err)
	}
	return nil
}

// flags returns the flags in the entry of an interface; 0 if it has none.
func (h *Hooks) flags(ifindex int) (uint32, error) {
	var v object.BPFIface
	if err := h.set.Ifaces.Lookup(uint32(ifindex), &v); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, fmt.Errorf("look up what was attached to interface %d: %w", ifindex, err)
	}
	return v.Flags, nil
}

// undo undoes what the flags of an interface record, except links.
func undo(ifindex int, flags uint32, filters filterName) error {
	var errs []error
	if flags&(ifaceClsactFilter|ifaceIngress) != 0 {
		errs = append(errs, filters.removeClsact(ifindex, flags))
	}
	if tags := flags & (ifaceRXVLAN | ifaceRXSTag); tags != 0 {
		errs = append(errs, hideTagsAgain(ifindex, tags))
	}
	return errors.Join(errs...)
}

// dropLink detaches at once; closing the last handle may detach later.
func dropLink(l link.Link) error {
	if l == nil {
		return nil
	}
	err := l.Detach()
	// Its interface is gone, or another process detached it.
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOLINK) || errors.Is(err, unix.ENODEV) {
		err = nil
	}
	return errors.Join(err, l.Unpin(), l.Close())
}
