// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// drivers reports what drivers can do; tests replace it.
type drivers interface {
	// lacks returns why mode auto must not use native mode on an interface; nil if it may.
	lacks(l netlink.Link) error
}

// kernelDrivers asks the kernel (Linux 6.3 and newer), or goes by the driver's name.
type kernelDrivers struct{}

func (kernelDrivers) lacks(l netlink.Link) error {
	// XDP_TX is lost unless the peer runs an XDP program too, and frames whose destination XDP rewrote are delivered as
	// PACKET_OTHERHOST. The kernel reports the feature all the same.
	if l.Type() == "veth" {
		return errors.New("native xdp on a veth loses the frames that it sends")
	}
	driver := driverOf(l.Attrs().Name)
	features, err := xdpFeatures(l.Attrs().Index)
	switch {
	case errors.Is(err, errNoNetdevFamily):
		if !nativeDrivers()[driver] {
			return fmt.Errorf("driver %q is not on the list for kernels before 6.3 (docs/drivers.md)", driver)
		}
		return nil
	case err != nil:
		return fmt.Errorf("ask the kernel for the xdp features of %s: %w", l.Attrs().Name, err)
	case features&xdpBasic == 0:
		return fmt.Errorf("driver %q reports no native xdp", driver)
	}
	return nil
}

// nativeDrivers lists drivers, by ethtool's name, that have native mode with XDP_TX in Linux 5.15, by its source. It is
// for kernels that do not report the feature.
func nativeDrivers() map[string]bool {
	return map[string]bool{
		"bnxt_en": true, "ena": true, "hv_netvsc": true, "i40e": true, "ice": true, "igb": true, "igc": true,
		"ixgbe": true, "ixgbevf": true, "mlx4_en": true, "mlx5_core": true, "mvneta": true, "mvpp2": true, "nfp": true,
		"qede": true, "sfc": true, "virtio_net": true,
	}
}

// driverOf returns the driver of an interface; "" if it reports none, as a bridge.
func driverOf(ifname string) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, ifname)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Driver[:])
}

// include/uapi/linux/netdev.h.
const (
	netdevFamily      = "netdev"
	netdevDevGet      = 1
	netdevIfindex     = 1
	netdevXDPFeatures = 3
	xdpBasic          = 1 // XDP_ABORTED, XDP_DROP, XDP_PASS and XDP_TX
)

// genlHeader is struct genlmsghdr: command, version and two zero bytes, which the library's own leaves undefined.
type genlHeader [nl.SizeofGenlmsg]byte

// Len is part of [nl.NetlinkRequestData].
func (genlHeader) Len() int { return nl.SizeofGenlmsg }

// Serialize is part of [nl.NetlinkRequestData].
func (h genlHeader) Serialize() []byte { return h[:] }

// errNoNetdevFamily means that the kernel does not report features.
var errNoNetdevFamily = errors.New("the kernel has no netdev netlink family")

// xdpFeatures asks the kernel which XDP features the driver of an interface has now: some depend on its settings.
func xdpFeatures(ifindex int) (uint64, error) {
	family, err := netlink.GenlFamilyGet(netdevFamily)
	switch {
	case errors.Is(err, unix.ENOENT):
		return 0, errNoNetdevFamily
	case err != nil:
		return 0, fmt.Errorf("look up the netdev netlink family: %w", err)
	}
	req := nl.NewNetlinkRequest(int(family.ID), 0)
	req.AddData(genlHeader{netdevDevGet})
	req.AddData(nl.NewRtAttr(netdevIfindex, nl.Uint32Attr(uint32(ifindex))))
	msgs, err := req.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return 0, fmt.Errorf("netdev dev-get: %w", err)
	}
	for _, m := range msgs {
		attrs, err := nl.ParseRouteAttr(m[nl.SizeofGenlmsg:])
		if err != nil {
			return 0, fmt.Errorf("parse the answer to netdev dev-get: %w", err)
		}
		for _, a := range attrs {
			if a.Attr.Type == netdevXDPFeatures && len(a.Value) == 8 {
				return nl.NativeEndian().Uint64(a.Value), nil
			}
		}
	}
	return 0, errors.New("netdev dev-get: the answer has no xdp features")
}
