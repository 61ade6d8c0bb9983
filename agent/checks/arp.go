// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"vipd/agent/netio"
	"vipd/agent/wire"
)

// arpProbe passes if an IPv4 address answers an ARP request on the named interface, or else on the
// one that the routes name.
func arpProbe(target, ifname string) Probe {
	return func(ctx context.Context) error {
		dst, err := netip.ParseAddr(target)
		if err != nil {
			return err
		}
		link, sender, err := arpSource(ctx, dst, ifname)
		if err != nil {
			return err
		}
		question, err := wire.AppendARP(nil, wire.ARP{
			Op: wire.ARPRequest, SenderMAC: link.MAC, SenderIP: sender, TargetIP: dst,
		}, link.MAC, wire.Broadcast)
		if err != nil {
			return err
		}
		f, closeSocket, err := netio.OpenRaw(ctx, unix.AF_PACKET, 0)
		if err != nil {
			return err
		}
		defer closeSocket()
		if err := netio.ListenARP(f, link.Index); err != nil {
			return fmt.Errorf("use interface %s: %w", link.Name, err)
		}
		return exchange(f, question, func(answer []byte) bool {
			a, err := wire.ParseARP(answer)
			return err == nil && a.Op == wire.ARPReply && a.SenderIP == dst && a.TargetMAC == link.MAC
		})
	}
}

// arpSource returns the interface and sender address of the request: the interface's address in the
// target's network, which is never a VIP (a VIP is a /32), or else 0.0.0.0 as in an ARP probe
// (RFC 5227).
func arpSource(ctx context.Context, dst netip.Addr, ifname string) (netio.Link, netip.Addr, error) {
	host, err := netio.NewHost()
	if err != nil {
		return netio.Link{}, netip.Addr{}, err
	}
	defer host.Close()
	if ifname == "" {
		if ifname, err = onLinkInterface(ctx, dst); err != nil {
			return netio.Link{}, netip.Addr{}, err
		}
	}
	link, err := host.Link(ifname)
	switch {
	case errors.Is(err, netio.ErrNoLink):
		return netio.Link{}, netip.Addr{}, netio.ErrNoLink
	case err != nil:
		return netio.Link{}, netip.Addr{}, err
	case !link.Ethernet:
		return netio.Link{}, netip.Addr{}, fmt.Errorf("%s is not an Ethernet interface", ifname)
	}
	own, err := host.Addresses(link.Index)
	if err != nil {
		return netio.Link{}, netip.Addr{}, err
	}
	for _, p := range own {
		if p.Addr().Is4() && p.Bits() < 32 && p.Contains(dst) {
			return link, p.Addr(), nil
		}
	}
	return link, netip.IPv4Unspecified(), nil
}

// onLinkInterface returns the interface on which the routing table finds the address directly.
func onLinkInterface(ctx context.Context, dst netip.Addr) (string, error) {
	nl, err := routeHandle(ctx)
	if err != nil {
		return "", err
	}
	defer nl.Close()
	routes, err := nl.RouteGet(dst.AsSlice())
	if err != nil || len(routes) == 0 {
		return "", errors.New("no route to the address; name the interface in the check")
	}
	if gw := routes[0].Gw; gw != nil {
		return "", fmt.Errorf("the address is routed through %s; if it is on link, name the interface in the check", gw)
	}
	link, err := nl.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return "", fmt.Errorf("read interface %d: %w", routes[0].LinkIndex, err)
	}
	return link.Attrs().Name, nil
}
