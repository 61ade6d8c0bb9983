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

// Claim is a host's answer to a request for an address.
type Claim struct {
	Address netip.Addr
	MAC     [6]byte
	// Proxy reports that the host answered requests from this node's own address but none from
	// 0.0.0.0, as a router with proxy ARP does. IPv4 only.
	Proxy bool
}

// askSpacing is the time between two requests, so that many addresses do not make a burst.
const askSpacing = time.Millisecond

// WhoHas asks the segment for addresses and returns the answers and announcements until ctx ends, each
// once. Messages about other addresses are ignored, unless they come from a link-layer address for
// which also returns true.
//
// IPv4 requests come from 0.0.0.0 like an ARP probe (RFC 5227): they change no ARP table, and hosts that
// use our address answer them. Further requests come from this node's own address, if that is valid,
// since a router with proxy ARP answers only those. IPv6 requests come from the interface's link-local
// address.
//
// If some addresses could not be asked for, WhoHas returns an error together with the other answers.
func WhoHas(
	ctx context.Context,
	link Link,
	own netip.Addr,
	addrs []netip.Addr,
	also func(mac [6]byte) bool,
) ([]Claim, error) {
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
	go run(arpInquiry(link, own), v4)
	go run(ndInquiry(link), v6)
	a, b := <-results, <-results
	return append(a.claims, b.claims...), errors.Join(a.err, b.err)
}

func arpInquiry(link Link, own netip.Addr) inquiry {
	q := inquiry{
		domain: unix.AF_PACKET,
		open:   func(f *os.File) error { return ListenARP(f, link.Index) },
		read: func(b []byte) (Claim, bool) {
			a, err := wire.ParseARP(b)
			// Replies to other hosts are not answers to our requests.
			proxy := own.IsValid() && a.Op == wire.ARPReply && a.TargetIP == own && !a.Gratuitous()
			return Claim{a.SenderIP, a.SenderMAC, proxy}, err == nil && (a.Op == wire.ARPReply || a.Gratuitous())
		},
	}
	from := []netip.Addr{netip.IPv4Unspecified()}
	if own.Is4() {
		from = append(from, own)
	}
	for _, sender := range from {
		q.asks = append(q.asks, func(fd int, a netip.Addr) error {
			frame, err := wire.AppendARP(nil, wire.ARP{
				Op: wire.ARPRequest, SenderMAC: link.MAC, SenderIP: sender, TargetIP: a,
			}, link.MAC, wire.Broadcast)
			if err != nil {
				return err
			}
			_, err = unix.Write(fd, frame)
			return err
		})
	}
	return q
}

func ndInquiry(link Link) inquiry {
	return inquiry{
		domain: unix.AF_INET6, protocol: unix.IPPROTO_ICMPV6,
		open: func(f *os.File) error {
			return OnSocket(f, func(fd int) error {
				return errors.Join(
					unix.BindToDevice(fd, link.Name),
					unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255),
					unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, link.Index),
					unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, onlyNA()),
				)
			})
		},
		asks: []question{func(fd int, a netip.Addr) error {
			return unix.Sendto(fd, wire.AppendNS(nil, a, link.MAC), 0,
				&unix.SockaddrInet6{Addr: wire.SolicitedNode(a).As16(), ZoneId: uint32(link.Index)})
		}},
		read: func(b []byte) (Claim, bool) {
			target, mac, ok := wire.ParseNA(b)
			return Claim{Address: target, MAC: mac}, ok
		},
	}
}

// onlyNA returns a filter that passes neighbour advertisements only.
func onlyNA() *unix.ICMPv6Filter {
	f := &unix.ICMPv6Filter{}
	for i := range f.Data {
		f.Data[i] = ^uint32(0) // a set bit blocks
	}
	f.Data[wire.NeighborAdvert>>5] &^= 1 << (wire.NeighborAdvert & 31)
	return f
}

// question sends one request for an address.
type question func(fd int, a netip.Addr) error

// inquiry holds the requests and answers of one family.
type inquiry struct {
	domain, protocol int

	open func(f *os.File) error
	asks []question
	read func(b []byte) (Claim, bool)
	also func(mac [6]byte) bool
}

// run sends every request for every address twice, since frames can be lost, and collects answers until
// ctx ends.
func (q inquiry) run(ctx context.Context, addrs []netip.Addr) ([]Claim, error) {
	f, closeSocket, err := OpenRaw(ctx, q.domain, q.protocol)
	if err != nil {
		return nil, err
	}
	defer closeSocket()
	if err := q.open(f); err != nil {
		return nil, fmt.Errorf("use the interface: %w", err)
	}
	asked := make(chan error, 1)
	go func() {
		var errs []error
		for _, ask := range q.asks {
			errs = append(errs, askAll(ctx, addrs, func(a netip.Addr) error {
				return OnSocket(f, func(fd int) error { return ask(fd, a) })
			}))
		}
		asked <- errors.Join(errs...)
	}()
	wanted := map[netip.Addr]bool{}
	for _, a := range addrs {
		wanted[a] = true
	}
	claims := q.collect(f, wanted)
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

// maxClaims limits what is kept if a host answers for every address.
const maxClaims = 4096

// collect returns the answers until a read fails.
func (q inquiry) collect(f *os.File, wanted map[netip.Addr]bool) []Claim {
	var out []Claim
	seen := map[Claim]int{} // index in out, by claim without Proxy
	var buf [2048]byte
	for {
		n, err := f.Read(buf[:])
		if err != nil { // the deadline, or the interface is gone
			return out
		}
		c, ok := q.read(buf[:n])
		if !ok || !wanted[c.Address] && !q.also(c.MAC) {
			continue
		}
		key := Claim{Address: c.Address, MAC: c.MAC}
		if i, known := seen[key]; known {
			out[i].Proxy = out[i].Proxy && c.Proxy
		} else if len(out) < maxClaims {
			seen[key] = len(out)
			out = append(out, c)
		}
	}
}
