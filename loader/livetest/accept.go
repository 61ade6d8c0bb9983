// SPDX-License-Identifier: Apache-2.0

package livetest

import (
	"fmt"

	"vipd/loader/internal/ethtool"
)

// Accept makes a veth of this thread's network namespace accept frames that programs send, even without a native
// program of its own: switching GRO on gives the driver the poll function that takes such frames.
func Accept(ifname string) error {
	const sgro = 0x2c                                               // ETHTOOL_SGRO of linux/ethtool.h
	if err := ethtool.Call(ifname, []uint32{sgro, 1}); err != nil { // struct ethtool_value
		return fmt.Errorf("switch gro of %s on: %w", ifname, err)
	}
	return nil
}
