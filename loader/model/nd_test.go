// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/tables"
)

func TestND(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	with := func(n ND, change func(*ND)) ND {
		change(&n)
		return n
	}
	ask := NDFor(VIP6)
	noOption := with(ask, func(n *ND) { n.Options = nil })
	other := [6]byte{2, 0, 0, 0, 0, 0x77}
	toPeer, toAll := NAFor(VIP6, PeerAddr6, PeerMAC, false), NAFor(VIP6, netip.IPv6Unspecified(), [6]byte{}, false)
	answered := map[string]struct {
		ask    []byte
		answer []byte
	}{
		"multicast":                  {ask.Bytes(), toPeer},
		"without option":             {noOption.Bytes(), toPeer},
		"nonce":                      {withNonce(ask).Bytes(), toPeer},
		"nonce, without option":      {withNonce(noOption).Bytes(), toPeer},
		"padded":                     {append(noOption.Bytes(), 1, 2, 3), toPeer},
		"long padding":               {append(ask.Bytes(), make([]byte, 40)...), toPeer},
		"unicast to the virtual MAC": {unicastND(VIP6).Bytes(), toPeer},
		"unicast with option": {
			with(unicastND(VIP6), func(n *ND) { n.Options = LLOption(1, PeerMAC) }).Bytes(),
			toPeer,
		},
		"unicast to the NIC":       {with(unicastND(VIP6), func(n *ND) { n.DstMAC = NICMAC }).Bytes(), toPeer},
		"group in a unicast frame": {with(ask, func(n *ND) { n.DstMAC = NICMAC }).Bytes(), toPeer},
		"all nodes":                {with(ask, func(n *ND) { n.Dst = netip.MustParseAddr("ff02::1") }).Bytes(), toPeer},
		"option differs from the frame": {
			with(ask, func(n *ND) { n.Options = LLOption(1, other) }).Bytes(),
			NAFor(VIP6, PeerAddr6, other, false),
		},
		"option of another length": {
			with(ask, func(n *ND) { n.Options = append([]byte{1, 2}, make([]byte, 14)...) }).Bytes(),
			toPeer,
		},
		"global source": {
			with(ask, func(n *ND) { n.Src = netip.MustParseAddr("2001:db8::2") }).Bytes(),
			NAFor(VIP6, netip.MustParseAddr("2001:db8::2"), PeerMAC, false),
		},
		"duplicate address detection":        {dadFor(VIP6).Bytes(), toAll},
		"duplicate address detection, nonce": {withNonce(dadFor(VIP6)).Bytes(), toAll},
		"reserved flags":                     {with(ask, func(n *ND) { n.flags = 0xffffffff }).Bytes(), toPeer},
	}
	badLength := ask.Bytes()
	badLength[19] = 23
	ignored := map[string][]byte{
		"bad checksum":          with(ask, func(n *ND) { n.badSum = true }).Bytes(),
		"hop limit":             with(ask, func(n *ND) { n.hops = 254 }).Bytes(),
		"code":                  with(ask, func(n *ND) { n.code = 1 }).Bytes(),
		"payload length":        badLength,
		"cut off":               ask.Bytes()[:85],
		"option of no length":   with(ask, func(n *ND) { n.Options = []byte{1, 0, 2, 0, 0, 0, 0, 1} }).Bytes(),
		"option beyond the end": with(ask, func(n *ND) { n.Options = []byte{1, 2, 2, 0, 0, 0, 0, 1} }).Bytes(),
		"half an option":        with(ask, func(n *ND) { n.Options = []byte{14} }).Bytes(),
		"nobody with an option": with(dadFor(VIP6), func(n *ND) { n.Options = LLOption(1, PeerMAC) }).Bytes(),
		"nobody, all nodes":     with(dadFor(VIP6), func(n *ND) { n.Dst = netip.MustParseAddr("ff02::1") }).Bytes(),
		"nobody, unicast": with(
			unicastND(VIP6),
			func(n *ND) { n.Src, n.DstMAC = netip.IPv6Unspecified(), NICMAC },
		).Bytes(),
		"group source":       with(ask, func(n *ND) { n.Src = netip.MustParseAddr("ff02::1") }).Bytes(),
		"source is the VIP":  with(ask, func(n *ND) { n.Src = VIP6 }).Bytes(),
		"other address":      NDFor(netip.MustParseAddr("2001:db8::7")).Bytes(),
		"other NIC":          with(ask, func(n *ND) { n.DstMAC = PeerMAC }).Bytes(),
		"to another address": with(unicastND(VIP6), func(n *ND) { n.Dst, n.DstMAC = ownAddr6, NICMAC }).Bytes(),
		"advertisement":      NAFor(VIP6, netip.IPv6Unspecified(), [6]byte{}, false),
		"router solicitation": ND{
			DstMAC: carpGroup6MAC,
			SrcMAC: PeerMAC,
			Src:    PeerAddr6,
			Dst:    netip.MustParseAddr("ff02::2"),
			Type:   133,
		}.Bytes(),
		"behind another header": Packet6{
			Next:    60,
			Payload: append([]byte{58, 0, 1, 4, 0, 0, 0, 0}, ask.Bytes()[54:]...),
		}.Bytes(),
		"tagged":                 append(append(ask.Bytes()[:12:12], 0x81, 0, 0, 5), ask.Bytes()[12:]...),
		"of nine options":        with(ask, func(n *ND) { n.Options = bytes.Repeat(LLOption(14, PeerMAC), 9) }).Bytes(),
		"another protocol there": Packet6{Next: 17, Payload: ask.Bytes()[54:]}.Bytes(),
	}
	suppressed := Want{Verdict: xdpDrop, Counts: count("nd_solicitations", "nd_suppressed", "drop_not_answering_nd")}
	for _, state := range []uint8{tables.RoleInit, tables.RoleBackup} {
		h.Group.SetRole(tables.Role{State: state, Generation: 1})
		for name, f := range answered {
			h.Expect("silent: "+name, f.ask, suppressed)
		}
		for name, f := range ignored {
			h.Expect("silent: "+name, f, Want{Verdict: XDPPass})
		}
	}
	h.Master(2)
	for name, f := range answered {
		h.Expect(
			"master: "+name,
			f.ask,
			Want{Verdict: XDPTX, Counts: count("nd_solicitations", "nd_advertisements"), Frame: f.answer},
		)
	}
	for name, f := range ignored {
		h.Expect("master: "+name, f, Want{Verdict: XDPPass})
	}
	groupOption := with(ask, func(n *ND) { n.Options = LLOption(1, BroadcastMAC) })
	h.Expect(
		"master: option with a group address",
		groupOption.Bytes(),
		Want{Verdict: XDPPass, Counts: count("nd_solicitations")},
	)
	h.Group.SetRole(
		tables.Role{State: tables.RoleMaster, Generation: 2, Lease: BootNow() - 1, SendUntil: BootNow() + 60e9},
	)
	h.Expect("lease over", ask.Bytes(), suppressed)

	s := GoldenSpec(DualVIPs()...)
	s.Router = true
	if err := h.Group.Update(s); err != nil {
		t.Fatal(err)
	}
	h.Master(3)
	h.Expect("router", ask.Bytes(), Want{
		Verdict: XDPTX, Counts: count("nd_solicitations", "nd_advertisements"), Frame: NAFor(VIP6, PeerAddr6, PeerMAC, true),
	})
	h.Expect("router, nobody asks", dadFor(VIP6).Bytes(), Want{
		Verdict: XDPTX,
		Counts:  count("nd_solicitations", "nd_advertisements"),
		Frame:   NAFor(VIP6, netip.IPv6Unspecified(), [6]byte{}, true),
	})
}

func TestNDTruncated(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	h.Master(1)
	for _, n := range []ND{NDFor(VIP6), dadFor(VIP6), withNonce(NDFor(VIP6))} {
		f := n.Bytes()
		for i := 14; i < len(f); i++ {
			h.Expect("truncated", f[:i], Want{Verdict: XDPPass})
		}
	}
}

// TestNDChecksums: answers to many askers all sum to zero.
func TestNDChecksums(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	h.Master(1)
	for i := range 2000 {
		n := NDFor(VIP6)
		n.Src = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 13: byte(i % 7), 14: byte(i >> 8), 15: byte(i)})
		_, out := h.Run(n.Bytes())
		if len(out) != 86 || sum16(pseudo6(VIP6, n.Src, 58, 32), out[54:]) != 0 {
			t.Fatalf("answer to %s: %x", n.Src, out)
		}
	}
}

// TestNDOnTheWire: in a frame of the stack's, generic XDP and tc have to find room for the answer.
func TestNDOnTheWire(t *testing.T) {
	for _, mode := range []attach.Mode{attach.ModeGeneric, attach.ModeTC} {
		t.Run(string(mode), func(t *testing.T) { ndOnTheWire(t, mode) })
	}
}

func ndOnTheWire(t *testing.T, mode attach.Mode) {
	ours, peer := kerneltest.Pair(t, "loader-ndwire-"+string(mode))
	d := openPlane(t, planeOptions{})
	if _, err := d.Attach(ours.Attrs().Index, "ours", mode); err != nil {
		t.Fatal(err)
	}
	s := GoldenSpec(DualVIPs()...)
	s.IfIndex = ours.Attrs().Index
	g, err := d.AddGroup(s)
	if err != nil {
		t.Fatal(err)
	}
	isNA := func(f []byte) bool { return len(f) >= 86 && f[12] == 0x86 && f[20] == 58 && f[54] == 136 }
	far := kerneltest.PacketSocket(t, peer)
	far.Send(dadFor(VIP6).Bytes())
	if f := far.Receive(isNA, 200*time.Millisecond); f != nil {
		t.Errorf("answered while not master: %x", f)
	}
	g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 1, Lease: BootNow() + 60e9})
	for _, tc := range []struct{ ask, answer []byte }{
		{dadFor(VIP6).Bytes(), NAFor(VIP6, netip.IPv6Unspecified(), [6]byte{}, false)},
		{NDFor(VIP6).Bytes(), NAFor(VIP6, PeerAddr6, PeerMAC, false)},
		{unicastND(VIP6).Bytes(), NAFor(VIP6, PeerAddr6, PeerMAC, false)},
		{withNonce(NDFor(VIP6)).Bytes(), NAFor(VIP6, PeerAddr6, PeerMAC, false)},
	} {
		far.Send(tc.ask)
		if f := far.Receive(isNA, 5*time.Second); !bytes.Equal(f, tc.answer) {
			t.Errorf("answer\n%x, want\n%x", f, tc.answer)
		}
	}
}
