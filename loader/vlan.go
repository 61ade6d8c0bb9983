// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A NIC that takes VLAN tags out of the frame hides them from XDP, native and
// generic alike: an advert or an ARP request of another VLAN would look like one of
// the untagged network. So the offloads are off as long as we are attached. A veth
// delivers out-of-band tags all the same if its peer's offloads for sending are on;
// nothing on our side can see those.

// tagOffload is one that takes tags out of frames.
type tagOffload struct {
	flag    uint32 // of an interface on which it was on
	feature string // as the kernel calls it
	name    string // as ethtool does
}

func tagOffloads() []tagOffload {
	return []tagOffload{
		{ifaceRXVLAN, "rx-vlan-hw-parse", "rx-vlan-offload"},            // 802.1Q
		{ifaceRXSTag, "rx-vlan-stag-hw-parse", "rx-vlan-stag-hw-parse"}, // 802.1ad
	}
}

// nicFeatures are a NIC's, by the kernel's names; tests stand in other drivers.
type nicFeatures interface {
	Features(ifname string) (map[string]bool, error)
	Switch(ifname, feature string, on bool) error
}

// switchOff switches the offloads off and says which were on, as flags of the
// interface, also with an error. A driver that knows no such thing hides none.
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

// hideTagsAgain undoes switchOff; an interface that is gone needs nothing.
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
		if err := (nic{}).Switch(name, o.feature, true); err != nil && !goneDevice(err) {
			errs = append(errs, fmt.Errorf("switch %s of %s on again: %w", o.name, name, err))
		}
	}
	return errors.Join(errs...)
}
