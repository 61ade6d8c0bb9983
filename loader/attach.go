// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Mode is how XDP runs on an interface.
type Mode string

// Modes. Auto is only wanted, never got: native on proven drivers, else generic. Where
// neither can be had, or would not see VLAN tags, auto and generic go on to tc ingress.
const (
	ModeAuto    Mode = "auto"
	ModeNative  Mode = "native"
	ModeGeneric Mode = "generic"
	// ModeTCX and ModeClsact are no XDP, where that is another's: the same on ingress.
	// They are got, never wanted.
	ModeTCX    Mode = "tcx"
	ModeClsact Mode = "clsact"
)

// Ways in which the egress program is attached.
const (
	EgressTCX    = "tcx"
	EgressClsact = "clsact"
)

// Attachment says how the programs sit on an interface.
type Attachment struct {
	Mode   Mode   // native, generic, tcx or clsact
	Egress string // tcx or clsact
	// Parent is the interface whose program serves this VLAN device by its tags; "" if
	// the program sits on the interface itself.
	Parent string
	// Note says why it is not a better mode; "" if there is none, or none was looked for.
	Note string
}

type attachment struct {
	Attachment
	ifname  string
	xdp     link.Link  // nil in what was adopted half made, and with a parent
	in      link.Link  // in the place of xdp, or with it for a moment (see returnToXDP)
	filter  bool       // the same as a clsact filter
	tcx     link.Link  // nil with clsact
	vlan    vlanDevice // served by its parent; zero if not
	carrier bool       // there for VLAN devices alone
	claimed bool       // by Attach, not only adopted
	adopted bool
	upkeep
}

func (a *attachment) close() error {
	return errors.Join(closeIf(a.xdp != nil, a.xdp), closeIf(a.in != nil, a.in), closeIf(a.tcx != nil, a.tcx))
}

// alive says whether all still sits on its interface: one that vanished may have come
// back under its old index.
func (d *Dataplane) alive(a *attachment, ifindex int) bool {
	if a.Egress == "" || a.xdp == nil && a.vlan.parent == 0 && !a.standsIn() || len(d.lost(a, ifindex)) > 0 {
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

// Attach puts both programs on an interface of the calling thread's network
// namespace. It is idempotent; a change of mode detaches first. [ErrSlotTaken] means
// that somebody else's XDP program is there.
func (d *Dataplane) Attach(ifindex int, ifname string, want Mode) (Attachment, error) {
	d.hooks.Lock()
	defer d.hooks.Unlock()
	if d.closed {
		return Attachment{}, ErrClosed
	}
	ways, err := waysFor(ifindex, ifname, want)
	if err != nil {
		return Attachment{}, err
	}
	a := d.attached[ifindex]
	if a != nil && !a.carrier {
		first := !a.claimed
		a.claimed, a.want = true, want
		if d.alive(a, ifindex) && a.suits(want) {
			if first { // adopted: a start takes the slot that it finds free
				d.returnAtOnce(a, ifindex)
			}
			return a.shown(), nil
		}
		if a.Mode != "" { // else half made
			if err := d.detach(ifindex); err != nil {
				return Attachment{}, err
			}
			a = d.attached[ifindex] // a carrier, maybe
		}
	}
	if a == nil {
		a = &attachment{ifname: ifname}
		d.attached[ifindex] = a
	}
	a.claimed, a.carrier, a.want = true, false, want
	if err := d.attach(a, ifindex, ways); err != nil {
		return Attachment{}, errors.Join(err, d.detach(ifindex))
	}
	attrs := []any{"interface", ifname, "mode", a.Mode, "egress", a.Egress}
	if a.Parent != "" {
		attrs = append(attrs, "parent", a.Parent)
	}
	if a.Note != "" {
		attrs = append(attrs, "note", a.Note)
	}
	d.opts.Log.Info("data plane attached", attrs...)
	return a.shown(), nil
}

// suits says whether another mode than the one got would have to be tried.
func (a *attachment) suits(want Mode) bool {
	stand := a.Mode == ModeTCX || a.Mode == ModeClsact
	return want == ModeAuto || want == "" || a.Mode == want || want == ModeGeneric && stand
}

// way is one place for the program, in one mode.
type way struct {
	mode Mode
	vlan *vlanDevice // on its parent
	why  string      // no better one was looked for
}

// waysFor lists the ways to try, best first.
func waysFor(ifindex int, ifname string, want Mode) ([]way, error) {
	native := way{mode: ModeNative}
	rest := []way{{mode: ModeGeneric}, {mode: ModeTCX}}
	why, err := untagged(ifindex)
	if err != nil {
		return nil, err
	}
	if why != "" {
		rest = []way{{mode: ModeTCX, why: why}}
	}
	v, err := vlanOf(ifindex)
	isVLAN := !errors.Is(err, errNoVLAN)
	if isVLAN && err == nil {
		native.vlan, ifname = &v, v.parentName
	}
	switch want {
	case ModeNative:
		if isVLAN && err != nil {
			return nil, fmt.Errorf("no native xdp on %s: %w", ifname, err)
		}
		return []way{native}, nil
	case ModeGeneric:
		return rest, nil
	case ModeAuto, "":
		driver, driverErr := driverOf(ifname)
		if driverErr != nil {
			return nil, driverErr
		}
		if provenDrivers()[driver] && (!isVLAN || err == nil) {
			return append([]way{native}, rest...), nil
		}
		return rest, nil
	case ModeTCX, ModeClsact:
	}
	// The rest cannot be wanted.
	return nil, fmt.Errorf("xdp mode %q: want auto, native or generic", want)
}

// attach fences what leaves before it answers what comes.
func (d *Dataplane) attach(a *attachment, ifindex int, ways []way) error {
	if err := d.noteInterface(ifindex, 0); err != nil {
		return err
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count the cpus: %w", err)
	}
	// Counters outlive an attachment.
	err = d.objs.IfStats.Update(uint32(ifindex), make([]bpfIfStats, cpus), ebpf.UpdateNoExist)
	if err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
		return fmt.Errorf("make the counters of %s: %w", a.ifname, err)
	}
	if a.Egress == "" {
		if err := d.attachEgress(a, ifindex); err != nil {
			return err
		}
	}
	if a.xdp != nil { // it carried VLANs already
		return nil
	}
	return d.attachBy(a, ifindex, d.withTags(a, ifindex, ways))
}

// attachBy puts the program that receives where the first way leads that is open.
func (d *Dataplane) attachBy(a *attachment, ifindex int, ways []way) (err error) {
	a.Note, a.Parent, a.stays = "", "", ways[0].mode == ModeTCX
	var errs []error
	for i, w := range ways {
		switch {
		case w.vlan != nil:
			err = d.carry(a, ifindex, *w.vlan)
		case w.mode == ModeTCX:
			err = d.attachIngress(a, ifindex)
		default:
			err = d.attachXDP(a, ifindex, w.mode)
		}
		if err == nil {
			if w.why != "" {
				a.Note = w.why
			}
			return nil
		}
		if i+1 < len(ways) {
			errs = append(errs, err)
			a.Note = errors.Join(errs...).Error()
			d.opts.Log.Warn("no xdp in this mode, trying the next", "interface", a.ifname, "mode", w.mode, "err", err)
		}
	}
	return errors.Join(append(errs, err)...)
}

// noteInterface begins the entry by which whoever comes after us finds what is attached.
func (d *Dataplane) noteInterface(ifindex int, flags uint32) error {
	err := d.objs.Ifaces.Update(uint32(ifindex), bpfIface{Flags: flags}, ebpf.UpdateNoExist)
	if errors.Is(err, ebpf.ErrKeyExist) { // adopted half made, or a carrier
		var v bpfIface
		if err = d.objs.Ifaces.Lookup(uint32(ifindex), &v); err == nil {
			v.Flags = v.Flags&^ifaceCarrier | flags
			err = d.objs.Ifaces.Put(uint32(ifindex), v)
		}
	}
	if err != nil {
		return fmt.Errorf("note interface %d: %w", ifindex, err)
	}
	return nil
}

// withTags are the ways on which the tags of frames are seen.
func (d *Dataplane) withTags(a *attachment, ifindex int, ways []way) []way {
	if err := d.showTags(a, ifindex); err != nil {
		return d.seeingTags(a, ways, err)
	}
	return ways
}

// showTags makes VLAN tags visible to XDP.
func (d *Dataplane) showTags(a *attachment, ifindex int) error {
	wasOn, err := switchOff(d.nic, a.ifname)
	if wasOn != 0 {
		err = errors.Join(err, d.noteFlag(ifindex, wasOn))
	}
	return err
}

// noteFlag remembers for whoever comes after us what has to be undone.
func (d *Dataplane) noteFlag(ifindex int, flag uint32) error {
	key := uint32(ifindex)
	var v bpfIface
	if err := d.objs.Ifaces.Lookup(key, &v); err != nil {
		return fmt.Errorf("look up what was attached to interface %d: %w", ifindex, err)
	}
	v.Flags |= flag
	if err := d.objs.Ifaces.Put(key, v); err != nil {
		return fmt.Errorf("note what is attached to interface %d: %w", ifindex, err)
	}
	return nil
}

// clearFlags is the reverse of noteFlag.
func (d *Dataplane) clearFlags(ifindex int, flags uint32) error {
	var v bpfIface
	if err := d.objs.Ifaces.Lookup(uint32(ifindex), &v); err != nil {
		return fmt.Errorf("look up what was attached to interface %d: %w", ifindex, err)
	}
	if v.Flags&flags == 0 {
		return nil
	}
	v.Flags &^= flags
	if err := d.objs.Ifaces.Put(uint32(ifindex), v); err != nil {
		return fmt.Errorf("note what is attached to interface %d: %w", ifindex, err)
	}
	return nil
}

func (d *Dataplane) attachXDP(a *attachment, ifindex int, mode Mode) error {
	flags := link.XDPGenericMode
	if mode == ModeNative {
		flags = link.XDPDriverMode
	}
	p, err := d.xdpProgram(mode)
	if err != nil {
		return err
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: ifindex, Flags: flags})
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		return slotTaken(a.ifname, ifindex, err)
	case mode == ModeNative && errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("attach xdp to %s: its driver has no native mode: set xdp mode to generic or auto: %w", a.ifname, err)
	case err != nil:
		return fmt.Errorf("attach xdp to %s in mode %s: %w", a.ifname, mode, err)
	}
	if err := l.Pin(d.linkPin(ifindex, "xdp")); err != nil {
		return errors.Join(fmt.Errorf("pin the xdp link of %s: %w", a.ifname, err), dropLink(l))
	}
	a.xdp, a.Mode = l, mode
	return nil
}

func (d *Dataplane) linkPin(ifindex int, hook string) string {
	return filepath.Join(d.pinDir(), fmt.Sprintf("link-%d-%s", ifindex, hook))
}

// Detach takes both programs off an interface. An interface that is not attached,
// or gone, is no error.
func (d *Dataplane) Detach(ifindex int) error {
	d.hooks.Lock()
	defer d.hooks.Unlock()
	if d.closed {
		return ErrClosed
	}
	return d.detach(ifindex)
}

// detach leaves of a parent what its VLAN devices need.
func (d *Dataplane) detach(ifindex int) error {
	a := d.attached[ifindex]
	if a == nil {
		return nil
	}
	if !a.carrier && d.carries(ifindex) {
		return d.onlyCarry(ifindex, a)
	}
	delete(d.attached, ifindex)
	flags, err := d.flags(ifindex)
	if err != nil {
		return err
	}
	// First what answers, then the fence.
	errs := []error{dropLink(a.xdp), dropLink(a.in), d.uncarry(a), dropLink(a.tcx), undo(ifindex, flags)}
	if err := d.objs.Ifaces.Delete(uint32(ifindex)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detach from %s: %w", a.ifname, err)
	}
	return nil
}

// flags are what the entry of an interface says; 0 if it has none.
func (d *Dataplane) flags(ifindex int) (uint32, error) {
	var v bpfIface
	if err := d.objs.Ifaces.Lookup(uint32(ifindex), &v); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, fmt.Errorf("look up what was attached to interface %d: %w", ifindex, err)
	}
	return v.Flags, nil
}

// undo takes back what the flags of an interface say, beside the links.
func undo(ifindex int, flags uint32) error {
	var errs []error
	if flags&(ifaceClsactFilter|ifaceIngress) != 0 {
		errs = append(errs, removeClsact(ifindex, flags))
	}
	if tags := flags & (ifaceRXVLAN | ifaceRXSTag); tags != 0 {
		errs = append(errs, hideTagsAgain(ifindex, tags))
	}
	return errors.Join(errs...)
}

// dropLink detaches at once; closing the last handle alone may do so later.
func dropLink(l link.Link) error {
	if l == nil {
		return nil
	}
	err := l.Detach()
	// Its interface is gone, or somebody detached it before.
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOLINK) || errors.Is(err, unix.ENODEV) {
		err = nil
	}
	return errors.Join(err, l.Unpin(), l.Close())
}
