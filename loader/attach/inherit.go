// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"vipd/loader/object"
)

// Inherited reports whether programs of an earlier vipd are on the interface, for [Hooks.Adopt] to replace. The answer
// is what [Hooks.Inherit] found and does not change.
func (h *Hooks) Inherited(ifindex int) bool {
	flags, ok := h.foundAtOpen[ifindex]
	return ok && flags&ifaceCarrier == 0
}

// Pending reports whether [Hooks.Adopt] has anything to do.
func (h *Hooks) Pending() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.inherited != nil
}

// Inherit finds the interfaces with programs of an earlier vipd, for [Hooks.Adopt]. later means that other calls may
// come before it.
func (h *Hooks) Inherit(later bool) (interfaces int, err error) {
	h.inherited, h.parents = make(map[int]uint32), make(map[int]int)
	var key uint32
	var val object.BPFIface
	it := h.set.Ifaces.Iterate()
	for it.Next(&key, &val) {
		h.inherited[int(key)] = val.Flags
		if val.Parent != 0 {
			h.parents[int(key)] = int(val.Parent)
		}
	}
	if err := it.Err(); err != nil {
		return 0, fmt.Errorf("read the pinned list of interfaces: %w", err)
	}
	if later {
		h.foundAtOpen = maps.Clone(h.inherited)
	}
	return len(h.inherited), h.counters().keep(func(ifindex uint32) bool { _, ok := h.inherited[int(ifindex)]; return ok })
}

// dropStrayLinks detaches links of unknown interfaces: no Attach would ever claim them, and they would keep our own
// program out.
func (h *Hooks) dropStrayLinks(known map[int]uint32) error {
	pins, err := filepath.Glob(filepath.Join(object.PinDir(h.opts.Dir), "link-*"))
	if err != nil {
		return err
	}
	for _, pin := range pins {
		var ifindex int
		_, err := fmt.Sscanf(filepath.Base(pin), "link-%d-", &ifindex)
		if _, ok := known[ifindex]; ok && err == nil {
			continue
		}
		h.opts.Log.Warn("removing a pinned link that no interface accounts for", "pin", pin)
		if err := RemovePinnedLink(pin); err != nil {
			return err
		}
	}
	return nil
}

// adoptInterface replaces the old programs, the fence first. Each replacement is atomic, so that a program is attached
// at any time.
func (h *Hooks) adoptInterface(ifindex int, flags uint32) (err error) {
	a := &attachment{adopted: true, carrier: flags&ifaceCarrier != 0}
	h.attached[ifindex] = a
	l, err := netlink.LinkByIndex(ifindex)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return errors.Join(h.dropPinned(ifindex), h.detach(ifindex))
	}
	if err != nil {
		return err
	}
	a.ifname = l.Attrs().Name
	if a.tcx, err = h.adoptLink(ifindex, "egress", h.set.VipdEgress); err != nil {
		return err
	}
	if a.tcx != nil {
		a.Egress = EgressTCX
	} else if flags&ifaceClsactFilter != 0 {
		replaced, err := h.replaceFilter(ifindex, netlink.HANDLE_MIN_EGRESS, h.set.VipdEgress)
		if err != nil {
			return err
		}
		if replaced {
			a.Egress = EgressClsact
		}
	}
	if err := h.adoptXDP(a, l); err != nil {
		return err
	}
	if a.xdp == nil {
		return h.adoptIngress(a, ifindex, flags)
	}
	return h.dropLeftIngress(ifindex, flags)
}

// adoptXDP replaces the XDP program by ours for the same mode.
func (h *Hooks) adoptXDP(a *attachment, l netlink.Link) error {
	if !pinned(h.linkPin(l.Attrs().Index, "xdp")) {
		return nil
	}
	const attachedDriver = 1 // XDP_ATTACHED_DRV
	mode := ModeGeneric
	if x := l.Attrs().Xdp; x != nil && x.AttachMode == attachedDriver {
		mode = ModeNative
	}
	p, err := h.set.XDP(mode == ModeNative)
	if err != nil {
		return err
	}
	if a.xdp, err = h.adoptLink(l.Attrs().Index, "xdp", p); a.xdp != nil {
		a.Mode = mode
	}
	return err
}

// dropPinned removes the links of an interface that no longer exists.
func (h *Hooks) dropPinned(ifindex int) error {
	var errs []error
	for _, hook := range []string{"xdp", "ingress", "egress"} {
		if pin := h.linkPin(ifindex, hook); pinned(pin) {
			errs = append(errs, RemovePinnedLink(pin))
		}
	}
	return errors.Join(errs...)
}

// adoptLink returns nil for a link that does not exist or is dead: its interface vanished, and another may have come
// back under its index. Attach attaches what is missing.
func (h *Hooks) adoptLink(ifindex int, hook string, p *ebpf.Program) (link.Link, error) {
	l, err := link.LoadPinnedLink(h.linkPin(ifindex, hook), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open its pinned %s link: %w", hook, err)
	}
	if !sitsOn(l, ifindex) {
		return nil, dropLink(l)
	}
	if err := l.Update(p); err != nil {
		return nil, errors.Join(fmt.Errorf("replace its %s program: %w", hook, err), l.Close())
	}
	return l, nil
}

// Install makes loaded programs those of the hooks, for [Hooks.Adopt]. If the hooks are closed, it closes the programs.
func (h *Hooks) Install(p *object.Programs) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.Join(object.ErrClosed, p.Close())
	}
	h.set.Install(p)
	return nil
}

// Adopt replaces the programs that [Hooks.Inherit] found, each atomically, so that a program is attached at any time.
// An interface on which that fails loses the old programs; Attach attaches new ones. If strict, Adopt returns the first
// error instead.
func (h *Hooks) Adopt(strict bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return object.ErrClosed
	}
	if err := h.dropStrayLinks(h.inherited); err != nil {
		return err
	}
	for ifindex, flags := range h.inherited {
		err := h.adoptInterface(ifindex, flags)
		if err == nil {
			continue
		}
		err = fmt.Errorf("adopt interface %d: %w", ifindex, err)
		if strict {
			return err
		}
		h.opts.Log.Warn("cannot replace the programs of an earlier vipd, attaching anew", "err", err)
		if err := errors.Join(h.detach(ifindex), h.dropPinned(ifindex)); err != nil {
			h.opts.Log.Warn("cannot remove the programs of an earlier vipd", "ifindex", ifindex, "err", err)
		}
	}
	err := h.adoptVLANs(h.parents)
	if err != nil && strict {
		return err
	}
	h.inherited, h.parents = nil, nil
	return err
}

// dropInherited detaches what was not replaced.
func (h *Hooks) dropInherited() error {
	var errs []error
	for ifindex, flags := range h.inherited {
		errs = append(errs, h.dropPinned(ifindex), undo(ifindex, flags, h.filters))
	}
	h.inherited = nil
	return errors.Join(errs...)
}
