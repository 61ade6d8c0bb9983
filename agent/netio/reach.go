// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"vipd/agent/wire"
)

// reachTries is how often each host is asked with each MAC, since frames can be lost.
const reachTries = 3

// Reached is the result of [Reaches].
type Reached struct {
	// NIC are the hosts that answered the interface's MAC, Both those that also answered the other.
	NIC, Both []netip.Addr
	// Frames is the number of answers to the other MAC.
	Frames uint64
}

// Reaches asks hosts by ARP for their own addresses until ctx ends: from 0.0.0.0, with the interface's
// MAC and with another MAC as the sender.
func Reaches(ctx context.Context, link Link, other [6]byte, hosts []netip.Addr) (Reached, error) {
	var r Reached
	f, closeSocket, err := OpenRaw(ctx, unix.AF_PACKET, 0)
	if err != nil {
		return r, err
	}
	defer closeSocket()
	if err := ListenARP(f, link.Index); err != nil {
		return r, fmt.Errorf("use interface %s: %w", link.Name, err)
	}
	asked := make(chan error, 1)
	go func() { asked <- askBoth(ctx, f, [][6]byte{link.MAC, other}, hosts) }()
	answered := map[[6]byte]map[netip.Addr]bool{link.MAC: {}, other: {}}
	var buf [2048]byte
	for {
		n, err := f.Read(buf[:])
		if err != nil { // the deadline, or the interface is gone
			break
		}
		// The data plane rewrites the Ethernet destination of frames to a virtual MAC, but not the ARP target.
		if a, err := wire.ParseARP(buf[:n]); err == nil && a.Op == wire.ARPReply && answered[a.TargetMAC] != nil {
			answered[a.TargetMAC][a.SenderIP] = true
			if a.TargetMAC == other {
				r.Frames++
			}
		}
	}
	for _, h := range hosts {
		if !answered[link.MAC][h] {
			continue
		}
		r.NIC = append(r.NIC, h)
		if answered[other][h] {
			r.Both = append(r.Both, h)
		}
	}
	return r, <-asked
}

func askBoth(ctx context.Context, f *os.File, macs [][6]byte, hosts []netip.Addr) error {
	for range reachTries {
		for _, h := range hosts {
			for _, mac := range macs {
				frame, err := wire.AppendARP(nil, wire.ARP{
					Op: wire.ARPRequest, SenderMAC: mac, SenderIP: netip.IPv4Unspecified(), TargetIP: h,
				}, mac, wire.Broadcast)
				if err != nil {
					return err
				}
				if _, err := f.Write(frame); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					return fmt.Errorf("ask for %s: %w", h, err)
				}
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(askSpacing):
			}
		}
	}
	return nil
}
