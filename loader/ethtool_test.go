// SPDX-License-Identifier: Apache-2.0

package loader

// The ioctls of one flag each, so that the tests ask in another way than what they test.

const ethFlagRXVLAN = 1 << 8 // ETH_FLAG_RXVLAN

func ethtoolFlags(ifname string, cmd, data uint32) (uint32, error) {
	value := []uint32{cmd, data} // struct ethtool_value
	err := ethtool(ifname, value)
	return value[1], err
}
