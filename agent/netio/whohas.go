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

// Claim is a host's answer to the question who has an address.
type Claim struct {
	Address netip.Addr
	MAC     [6]byte
}

// askSpacing is the time between two questions, so that many addresses are no burst.
const askSpacing = time.Millisecond

// WhoHas asks the segment for addresses and returns who answered until ctx ended, each
// answer once, and who announced one meanwhile. What is said of other addresses is left
// out, unless it comes from a link-layer address for which also is true. IPv4 is asked from 0.0.0.0, as a host does that has no address yet
// (RFC 5227): it leaves no trace in anybody's ARP table, and is answered by hosts that
// take ours for their own. IPv6 is asked from the interface's link-local address.
//
// The error says what could not be asked; answers to the rest are returned with it.
func WhoHas(ctx context.Context, link Link, addrs []netip.Addr, also func(mac [6]byte) bool) ([]Claim, error) {
	var v4, v6 []netip.Addr
	for _, a := range addrs {
		if a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	type result struct {
		claims []Claim
		err    error
	}
	results := make(chan result, 2)
	run := func(q inquiry, list []netip.Addr) {
		if len(list) == 0 {
			results <- result{}
			return
		}
		q.also = also
		claims, err := q.run(ctx, list)
		results <- result{claims, err}
	}
	go run(arpInquiry(link), v4)
	go run(ndInquiry(link), v6)
	a, b := <-results, <-results
	return append(a.claims, b.claims...), errors.Join(a.err, b.err)
}

func arpInquiry(link Link) inquiry {
	return inquiry{
		domain: unix.AF_PACKET,
		open: func(fd int) error {
			// Bound with its protocol only now: before, it would hear all interfaces.
			return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: link.Index, Protocol: bigEndian(unix.ETH_P_ARP)})
		},
		ask: func(fd int, a netip.Addr) error {
			frame, err := wire.AppendARP(nil, wire.ARP{
				Op: wire.ARPRequest, SenderMAC: link.MAC, SenderIP: netip.IPv4Unspecified(), TargetIP: a,
			}, link.MAC, wire.Broadcast)
			if err != nil {
				return err
			}
			_, err = unix.Write(fd, frame)
			return err
		},
		read: func(b []byte) (Claim, bool) {
			a, err := wire.ParseARP(b)
			return Claim{a.SenderIP, a.SenderMAC}, err == nil && (a.Op == wire.ARPReply || a.Gratuitous())
		},
	}
}

func ndInquiry(link Link) inquiry {
	return inquiry{
		domain: unix.AF_INET6, protocol: unix.IPPROTO_ICMPV6,
		open: func(fd int) error {
			return errors.Join(
				unix.BindToDevice(fd, link.Name),
				unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255),
				unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, link.Index),
				unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, onlyNA()),
			)
		},
		ask: func(fd int, a netip.Addr) error {
			return unix.Sendto(fd, wire.AppendNS(nil, a, link.MAC), 0,
				&unix.SockaddrInet6{Addr: wire.SolicitedNode(a).As16(), ZoneId: uint32(link.Index)})
		},
		read: func(b []byte) (Claim, bool) {
			target, mac, ok := wire.ParseNA(b)
			return Claim{target, mac}, ok
		},
	}
}

// onlyNA lets a raw socket hear neighbour advertisements and nothing else.
func onlyNA() *unix.ICMPv6Filter {
	f := &unix.ICMPv6Filter{}
	for i := range f.Data {
		f.Data[i] = ^uint32(0) // a bit that is set blocks
	}
	f.Data[wire.NeighborAdvert>>5] &^= 1 << (wire.NeighborAdvert & 31)
	return f
}

// inquiry is how one family is asked.
type inquiry struct {
	domain, protocol int

	open func(fd int) error
	ask  func(fd int, a netip.Addr) error
	read func(b []byte) (Claim, bool)
	also func(mac [6]byte) bool
}

// run asks for every address twice, as a frame can be lost, and collects answers
// until ctx ends.
func (q inquiry) run(ctx context.Context, addrs []netip.Addr) ([]Claim, error) {
	fd, err := unix.Socket(q.domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, q.protocol)
	if err != nil {
		return nil, fmt.Errorf("open raw socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "raw socket")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	on := func(do func(fd int) error) error {
		var inner error
		if err := raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
			return err
		}
		return inner
	}
	if err := on(q.open); err != nil {
		return nil, fmt.Errorf("use the interface: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		_ = f.SetDeadline(time.Unix(1, 0)) // fails only if the file is closed already
	})
	defer stop()
	asked := make(chan error, 1)
	go func() {
		asked <- askAll(ctx, addrs, func(a netip.Addr) error { return on(func(fd int) error { return q.ask(fd, a) }) })
	}()
	wanted := map[netip.Addr]bool{}
	for _, a := range addrs {
		wanted[a] = true
	}
	claims := q.listen(f, wanted)
	return claims, <-asked
}

func askAll(ctx context.Context, addrs []netip.Addr, ask func(netip.Addr) error) error {
	for range 2 {
		for _, a := range addrs {
			if err := ask(a); err != nil {
				return fmt.Errorf("ask for %s: %w", a, err)
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

// maxClaims bounds what a host that answers for everything can make us keep.
const maxClaims = 4096

func (q inquiry) listen(f *os.File, wanted map[netip.Addr]bool) []Claim {
	var out []Claim
	seen := map[Claim]bool{}
	var buf [2048]byte
	for {
		n, err := f.Read(buf[:])
		if err != nil { // the deadline, or the interface is gone: what came until then counts
			return out
		}
		c, ok := q.read(buf[:n])
		if ok && (wanted[c.Address] || q.also(c.MAC)) && !seen[c] && len(out) < maxClaims {
			seen[c] = true
			out = append(out, c)
		}
	}
}

func bigEndian(v uint16) uint16 { return v<<8 | v>>8 }
