// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// provenDrivers lists the drivers on which mode "auto" uses native XDP: two nodes were tested on them, with XDP_TX and
// rewritten frames (docs/drivers.md).
//
// veth must never be listed: in native mode it silently loses XDP_TX frames unless the peer runs an XDP program too,
// and delivers frames whose destination XDP rewrote as PACKET_OTHERHOST.
func provenDrivers() map[string]bool {
	return map[string]bool{"virtio_net": true}
}

// driverOf returns the driver of an interface; "" if it reports none.
func driverOf(ifname string) (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("ask for the driver of %s: %w", ifname, err)
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, ifname)
	if err != nil {
		return "", nil //nolint:nilerr // bridges and others have none: not proven
	}
	return unix.ByteSliceToString(info.Driver[:]), nil
}
