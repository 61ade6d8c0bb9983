// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vipd/loader/internal/ethtool"
)

// A NIC that removes VLAN tags from frames hides them from XDP, native and generic: an advert or an ARP request of a
// VLAN would look like one of the untagged network. So these offloads are off while vipd is attached. A veth still
// delivers out-of-band tags if its peer's transmit offloads are on; nothing on our side sees those.

// tagOffload is an offload that removes tags from frames.
type tagOffload struct {
	flag    uint32 // in the entry of an interface on which it was on
	feature string // the kernel's name
	name    string // ethtool's name
}

func tagOffloads() []tagOffload {
	return []tagOffload{
		{ifaceRXVLAN, "rx-vlan-hw-parse", "rx-vlan-offload"},            // 802.1Q
		{ifaceRXSTag, "rx-vlan-stag-hw-parse", "rx-vlan-stag-hw-parse"}, // 802.1ad
	}
}

// nicFeatures reads and switches a NIC's features, by the kernel's names; tests replace it.
type nicFeatures interface {
	Features(ifname string) (map[string]bool, error)
	Switch(ifname, feature string, on bool) error
}

// switchOff switches the offloads off. It returns which ones were on, as flags of the interface, even with an error. A
// driver without these features hides no tags.
func switchOff(f nicFeatures, ifname string) (wasOn uint32, err error) {
	on, err := f.Features(ifname)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ask for the features of %s: %w", ifname, err)
	}
	var errs []error
	for _, o := range tagOffloads() {
		if !on[o.feature] {
			continue
		}
		err := f.Switch(ifname, o.feature, false)
		if err == nil {
			var now map[string]bool
			if now, err = f.Features(ifname); err == nil && now[o.feature] {
				err = errors.New("it stays on")
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("switch %s of %s off: %w", o.name, ifname, err))
			continue
		}
		wasOn |= o.flag
	}
	return wasOn, errors.Join(errs...)
}

// hideTagsAgain undoes switchOff; nothing is needed for an interface that is gone.
func hideTagsAgain(ifindex int, flags uint32) error {
	l, err := netlink.LinkByIndex(ifindex)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up interface %d: %w", ifindex, err)
	}
	name := l.Attrs().Name
	var errs []error
	for _, o := range tagOffloads() {
		if flags&o.flag == 0 {
			continue
		}
		if err := (ethtool.NIC{}).Switch(name, o.feature, true); err != nil && !goneDevice(err) {
			errs = append(errs, fmt.Errorf("switch %s of %s on again: %w", o.name, name, err))
		}
	}
	return errors.Join(errs...)
}

// Attaching XDP switches off the offloads that hide VLAN tags. ethtool, udev or a network manager may switch them on
// again at any time.

const (
	// tagsEvery is how often they are read: it takes an ioctl under the lock of all network configuration.
	tagsEvery = time.Second
	// tagsOften is after how many times the status mentions it.
	tagsOften = 3
)

// tagWatch is the state of that check.
type tagWatch struct {
	looked time.Duration // see sinceBoot
	again  int           // how often they were found on again
}

// sees returns the attachment whose XDP program sees the frames of a, and its interface.
func (h *Hooks) sees(a *attachment, ifindex int) (*attachment, int) {
	if p := h.attached[a.vlan.parent]; p != nil {
		return p, a.vlan.parent
	}
	return a, ifindex
}

// hiding lists the offloads that hide tags from the program now. Those that cannot be read count as off.
func (h *Hooks) hiding(a *attachment, now time.Duration) []string {
	by, _ := h.sees(a, 0)
	if by.xdp == nil || now-a.tags.looked < tagsEvery {
		return nil
	}
	a.tags.looked = now
	on, err := h.nic.Features(by.ifname)
	if err != nil {
		return nil
	}
	var out []string
	for _, o := range tagOffloads() {
		if on[o.feature] {
			out = append(out, o.name)
		}
	}
	return out
}

// showAgain switches them off again. After an error XDP is blind to tags.
func (h *Hooks) showAgain(a *attachment, ifindex int) error {
	a.tags.again++
	by, at := h.sees(a, ifindex)
	err := h.showTags(by, at)
	if err != nil {
		h.opts.Log.Warn("VLAN tags are hidden from xdp, using tc ingress", "interface", by.ifname, "err", err)
	}
	return err
}

// note is for the status, once it has happened several times.
func (w tagWatch) note(ifname string) string {
	if w.again < tagsOften {
		return ""
	}
	return fmt.Sprintf(
		"VLAN offloads of %s were switched on again %d times and hide tags from xdp until they are off; "+
			"find the tool that switches rx-vlan-offload on (ethtool, udev, a network manager)",
		ifname,
		w.again,
	)
}
