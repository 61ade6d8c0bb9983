// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"vipd/loader/internal/ethtool"
	"vipd/loader/object"
)

// What the tests of package attach_test see of this one: they work on a whole data plane, which imports it.

// ErrTagged refuses a VLAN device that leaves tags in its frames.
var ErrTagged = errTagged

// Constants.
const (
	TagsOften    = tagsOften
	IfaceBoth    = ifaceBoth
	IfaceIngress = ifaceIngress
)

// NoClsact reports whether an interface has no clsact qdisc.
func NoClsact(err error) bool { return noClsact(err) }

// SwitchFeature switches a feature of a NIC.
func SwitchFeature(ifname, feature string, on bool) error {
	return ethtool.NIC{}.Switch(ifname, feature, on)
}

// UseNIC stands in for drivers.
func (h *Hooks) UseNIC(n FakeNIC) { h.nic = n }

// UseRealNIC ends UseNIC.
func (h *Hooks) UseRealNIC() { h.nic = ethtool.NIC{} }

// UseDrivers has all drivers lack native mode for that reason, or have it if there is none.
func (h *Hooks) UseDrivers(lack string) { h.drivers = fakeDrivers(lack) }

type fakeDrivers string

func (lack fakeDrivers) lacks(netlink.Link) error {
	if lack == "" {
		return nil
	}
	return errors.New(string(lack))
}

// KernelLacks is what the kernel says of a driver.
func KernelLacks(l netlink.Link) error { return kernelDrivers{}.lacks(l) }

// XDPFeatures asks the kernel.
func XDPFeatures(ifindex int) (uint64, error) { return xdpFeatures(ifindex) }

// Of the kernel's features.
var ErrNoNetdevFamily = errNoNetdevFamily

// NoteReset lets a link be down for a while.
func (h *Hooks) NoteReset(ifindex int) { h.resets.note(ifindex) }

// Objects are the programs and maps.
func (h *Hooks) Objects() *object.Set { return h.set }

// Now is what is attached to an interface.
func (h *Hooks) Now(ifindex int) Attachment { return h.attached[ifindex].Attachment }

// LostNow lists the hooks of an interface that a program is gone from.
func (h *Hooks) LostNow(ifindex int) []string { return h.lost(h.attached[ifindex], ifindex) }

// SetWant changes which mode is wanted.
func (h *Hooks) SetWant(ifindex int, want Mode) { h.attached[ifindex].want = want }

// Links are those on an interface.
func (h *Hooks) Links(ifindex int) (xdp, ingress, egress link.Link) {
	a := h.attached[ifindex]
	return a.xdp, a.in, a.tcx
}

// RemoveFilters removes our filters from one side of an interface.
func (h *Hooks) RemoveFilters(ifindex int, side uint32) (int, error) {
	return h.filters.removeFrom(ifindex, side)
}

// ForgetLook lets the next look read the offloads and the slot at once.
func (h *Hooks) ForgetLook(ifindex int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attached[ifindex].tags.looked, h.attached[ifindex].slot.looked = -time.Hour, -time.Hour
}
