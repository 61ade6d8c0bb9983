// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func dadFor(a netip.Addr) nd {
	n := ndFor(a)
	n.src, n.options = netip.IPv6Unspecified(), nil
	return n
}

// withNonce is as enhanced duplicate address detection sends (RFC 7527).
func withNonce(n nd) nd {
	n.options = append(slices.Clip(n.options), 14, 1, 1, 2, 3, 4, 5, 6)
	return n
}

func unicastND(a netip.Addr) nd {
	n := ndFor(a)
	n.dst, n.dstMAC, n.options = a, vmac(1), nil
	return n
}

func TestND(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	with := func(n nd, change func(*nd)) nd {
		change(&n)
		return n
	}
	ask := ndFor(vip6)
	noOption := with(ask, func(n *nd) { n.options = nil })
	other := [6]byte{2, 0, 0, 0, 0, 0x77}
	toPeer, toAll := naFor(vip6, peerAddr6, peerMAC, false), naFor(vip6, netip.IPv6Unspecified(), [6]byte{}, false)
	answered := map[string]struct {
		ask    []byte
		answer []byte
	}{
		"multicast":                     {ask.bytes(), toPeer},
		"without option":                {noOption.bytes(), toPeer},
		"nonce":                         {withNonce(ask).bytes(), toPeer},
		"nonce, without option":         {withNonce(noOption).bytes(), toPeer},
		"padded":                        {append(noOption.bytes(), 1, 2, 3), toPeer},
		"long padding":                  {append(ask.bytes(), make([]byte, 40)...), toPeer},
		"unicast to the virtual MAC":    {unicastND(vip6).bytes(), toPeer},
		"unicast with option":           {with(unicastND(vip6), func(n *nd) { n.options = llOption(1, peerMAC) }).bytes(), toPeer},
		"unicast to the NIC":            {with(unicastND(vip6), func(n *nd) { n.dstMAC = nicMAC }).bytes(), toPeer},
		"group in a unicast frame":      {with(ask, func(n *nd) { n.dstMAC = nicMAC }).bytes(), toPeer},
		"all nodes":                     {with(ask, func(n *nd) { n.dst = netip.MustParseAddr("ff02::1") }).bytes(), toPeer},
		"option differs from the frame": {with(ask, func(n *nd) { n.options = llOption(1, other) }).bytes(), naFor(vip6, peerAddr6, other, false)},
		"option of another length":      {with(ask, func(n *nd) { n.options = append([]byte{1, 2}, make([]byte, 14)...) }).bytes(), toPeer},
		"global source": {
			with(ask, func(n *nd) { n.src = netip.MustParseAddr("2001:db8::2") }).bytes(),
			naFor(vip6, netip.MustParseAddr("2001:db8::2"), peerMAC, false),
		},
		"duplicate address detection":        {dadFor(vip6).bytes(), toAll},
		"duplicate address detection, nonce": {withNonce(dadFor(vip6)).bytes(), toAll},
		"reserved flags":                     {with(ask, func(n *nd) { n.flags = 0xffffffff }).bytes(), toPeer},
	}
	badLength := ask.bytes()
	badLength[19] = 23
	ignored := map[string][]byte{
		"bad checksum":           with(ask, func(n *nd) { n.badSum = true }).bytes(),
		"hop limit":              with(ask, func(n *nd) { n.hops = 254 }).bytes(),
		"code":                   with(ask, func(n *nd) { n.code = 1 }).bytes(),
		"payload length":         badLength,
		"cut off":                ask.bytes()[:85],
		"option of no length":    with(ask, func(n *nd) { n.options = []byte{1, 0, 2, 0, 0, 0, 0, 1} }).bytes(),
		"option beyond the end":  with(ask, func(n *nd) { n.options = []byte{1, 2, 2, 0, 0, 0, 0, 1} }).bytes(),
		"half an option":         with(ask, func(n *nd) { n.options = []byte{14} }).bytes(),
		"nobody with an option":  with(dadFor(vip6), func(n *nd) { n.options = llOption(1, peerMAC) }).bytes(),
		"nobody, all nodes":      with(dadFor(vip6), func(n *nd) { n.dst = netip.MustParseAddr("ff02::1") }).bytes(),
		"nobody, unicast":        with(unicastND(vip6), func(n *nd) { n.src, n.dstMAC = netip.IPv6Unspecified(), nicMAC }).bytes(),
		"group source":           with(ask, func(n *nd) { n.src = netip.MustParseAddr("ff02::1") }).bytes(),
		"source is the VIP":      with(ask, func(n *nd) { n.src = vip6 }).bytes(),
		"other address":          ndFor(netip.MustParseAddr("2001:db8::7")).bytes(),
		"other NIC":              with(ask, func(n *nd) { n.dstMAC = peerMAC }).bytes(),
		"to another address":     with(unicastND(vip6), func(n *nd) { n.dst, n.dstMAC = ownAddr6, nicMAC }).bytes(),
		"advertisement":          naFor(vip6, netip.IPv6Unspecified(), [6]byte{}, false),
		"router solicitation":    nd{dstMAC: carpGroup6MAC, srcMAC: peerMAC, src: peerAddr6, dst: netip.MustParseAddr("ff02::2"), typ: 133}.bytes(),
		"behind another header":  packet6{next: 60, payload: append([]byte{58, 0, 1, 4, 0, 0, 0, 0}, ask.bytes()[54:]...)}.bytes(),
		"tagged":                 append(append(ask.bytes()[:12:12], 0x81, 0, 0, 5), ask.bytes()[12:]...),
		"of nine options":        with(ask, func(n *nd) { n.options = bytes.Repeat(llOption(14, peerMAC), 9) }).bytes(),
		"another protocol there": packet6{next: 17, payload: ask.bytes()[54:]}.bytes(),
	}
	suppressed := want{verdict: xdpDrop, counts: count("nd_solicitations", "nd_suppressed", "drop_not_answering_nd")}
	for _, state := range []uint8{RoleInit, RoleBackup} {
		h.g.SetRole(Role{State: state, Generation: 1})
		for name, f := range answered {
			h.expect("silent: "+name, f.ask, suppressed)
		}
		for name, f := range ignored {
			h.expect("silent: "+name, f, want{verdict: xdpPass})
		}
	}
	h.master(2)
	for name, f := range answered {
		h.expect("master: "+name, f.ask, want{verdict: xdpTX, counts: count("nd_solicitations", "nd_advertisements"), frame: f.answer})
	}
	for name, f := range ignored {
		h.expect("master: "+name, f, want{verdict: xdpPass})
	}
	groupOption := with(ask, func(n *nd) { n.options = llOption(1, broadcastMAC) })
	h.expect("master: option with a group address", groupOption.bytes(), want{verdict: xdpPass, counts: count("nd_solicitations")})
	h.g.SetRole(Role{State: RoleMaster, Generation: 2, Lease: bootNow() - 1, SendUntil: bootNow() + 60e9})
	h.expect("lease over", ask.bytes(), suppressed)

	s := goldenSpec(dualVIPs()...)
	s.Router = true
	if err := h.g.Update(s); err != nil {
		t.Fatal(err)
	}
	h.master(3)
	h.expect("router", ask.bytes(), want{
		verdict: xdpTX, counts: count("nd_solicitations", "nd_advertisements"), frame: naFor(vip6, peerAddr6, peerMAC, true),
	})
	h.expect("router, nobody asks", dadFor(vip6).bytes(), want{
		verdict: xdpTX, counts: count("nd_solicitations", "nd_advertisements"), frame: naFor(vip6, netip.IPv6Unspecified(), [6]byte{}, true),
	})
}

func TestNDTruncated(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	h.master(1)
	for _, n := range []nd{ndFor(vip6), dadFor(vip6), withNonce(ndFor(vip6))} {
		f := n.bytes()
		for i := 14; i < len(f); i++ {
			h.expect("truncated", f[:i], want{verdict: xdpPass})
		}
	}
}

// TestNDChecksums: answers to many askers all sum to zero.
func TestNDChecksums(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	h.master(1)
	for i := range 2000 {
		n := ndFor(vip6)
		n.src = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 13: byte(i % 7), 14: byte(i >> 8), 15: byte(i)})
		_, out := h.run(n.bytes())
		if len(out) != 86 || sum16(pseudo6(vip6, n.src, 58, 32), out[54:]) != 0 {
			t.Fatalf("answer to %s: %x", n.src, out)
		}
	}
}

// TestNDOnTheWire: generic XDP has to find room for the answer in a frame of the stack's.
func TestNDOnTheWire(t *testing.T) {
	ours, peer := pair(t, "loader-ndwire")
	d := openTest(t, Options{})
	if _, err := d.Attach(ours.Attrs().Index, "ours", ModeAuto); err != nil {
		t.Fatal(err)
	}
	s := goldenSpec(dualVIPs()...)
	s.IfIndex = ours.Attrs().Index
	g, err := d.AddGroup(s)
	if err != nil {
		t.Fatal(err)
	}
	isNA := func(f []byte) bool { return len(f) >= 86 && f[12] == 0x86 && f[20] == 58 && f[54] == 136 }
	far := packetSocket(t, peer)
	far.send(dadFor(vip6).bytes())
	if f := far.receive(isNA, 200*time.Millisecond); f != nil {
		t.Errorf("answered while not master: %x", f)
	}
	g.SetRole(Role{State: RoleMaster, Generation: 1, Lease: bootNow() + 60e9})
	for _, tc := range []struct{ ask, answer []byte }{
		{dadFor(vip6).bytes(), naFor(vip6, netip.IPv6Unspecified(), [6]byte{}, false)},
		{ndFor(vip6).bytes(), naFor(vip6, peerAddr6, peerMAC, false)},
		{unicastND(vip6).bytes(), naFor(vip6, peerAddr6, peerMAC, false)},
		{withNonce(ndFor(vip6)).bytes(), naFor(vip6, peerAddr6, peerMAC, false)},
	} {
		far.send(tc.ask)
		if f := far.receive(isNA, 5*time.Second); !bytes.Equal(f, tc.answer) {
			t.Errorf("answer\n%x, want\n%x", f, tc.answer)
		}
	}
}
