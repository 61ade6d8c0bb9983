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

// arpProbe wants an IPv4 address to answer an ARP request on an interface; without one
// on that which the routes name.
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
		f, closeSocket, err := openRaw(ctx, unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer closeSocket()
		// Bound with its protocol only now: before, it would hear all interfaces.
		arp := &unix.SockaddrLinklayer{Ifindex: link.Index, Protocol: networkOrder(unix.ETH_P_ARP)}
		if err := onSocket(f, func(fd int) error { return unix.Bind(fd, arp) }); err != nil {
			return fmt.Errorf("use interface %s: %w", link.Name, err)
		}
		return exchange(f, question, func(answer []byte) bool {
			a, err := wire.ParseARP(answer)
			return err == nil && a.Op == wire.ARPReply && a.SenderIP == dst && a.TargetMAC == link.MAC
		})
	}
}

// arpSource is who asks: the interface, and its address in the target's network. That
// is never a VIP, which is a /32; with no such address it is 0.0.0.0, as those ask who
// have none yet (RFC 5227).
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
		return netio.Link{}, netip.Addr{}, fmt.Errorf("%s is no Ethernet interface", ifname)
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

// onLinkInterface is where the routes look for the address itself.
func onLinkInterface(ctx context.Context, dst netip.Addr) (string, error) {
	nl, err := routeHandle(ctx)
	if err != nil {
		return "", err
	}
	defer nl.Close()
	routes, err := nl.RouteGet(dst.AsSlice())
	if err != nil || len(routes) == 0 {
		return "", errors.New("no route leads to it; name the interface in the check")
	}
	if gw := routes[0].Gw; gw != nil {
		return "", fmt.Errorf("it is not on link but behind %s; name the interface in the check if it is", gw)
	}
	link, err := nl.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return "", fmt.Errorf("read interface %d: %w", routes[0].LinkIndex, err)
	}
	return link.Attrs().Name, nil
}

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 }
