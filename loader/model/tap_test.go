// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"vipd/loader/tables"
)

// sampled is what one sample has to say.
type sampled struct {
	kind   tables.SampleKind
	reason string
	frame  []byte // nil: the one that was run
	out    bool
}

func (h *Harness) expectSamples(name string, p *ebpf.Program, frame []byte, want ...sampled) {
	h.T.Helper()
	h.Samples() // a new epoch
	before := BootNow()
	RunProg(h.T, p, frame)
	got := h.Samples()
	if len(got) != len(want) {
		h.T.Errorf("%s: %d samples, want %d: %+v", name, len(got), len(want), got)
		return
	}
	for i, w := range want {
		s := got[i]
		if w.frame == nil {
			w.frame = frame
		}
		if s.Kind != w.kind || s.Reason != w.reason || s.Out != w.out || s.Slot != h.Group.Slot() || s.IfIndex != LoIndex {
			h.T.Errorf("%s: sample %d is %+v, want %+v", name, i, s, w)
		}
		if s.At < before || s.At > BootNow() {
			h.T.Errorf("%s: sample %d at %d, not between %d and now", name, i, s.At, before)
		}
		if s.Length != len(w.frame) || !bytes.Equal(s.Data, w.frame[:min(len(w.frame), tables.MaxSampleBytes)]) {
			h.T.Errorf("%s: sample %d of %d bytes\n%x, want\n%x", name, i, s.Length, s.Data, w.frame)
		}
	}
}

// TestTap goes through every kind of sample and every reason.
func TestTap(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	xdp, egress := h.Plane.Objects.VipdXdp, h.Plane.Objects.VipdEgress
	arpAnswer := ARP{
		DstMAC: PeerMAC,
		SrcMAC: VMAC(1),
		Op:     2,
		SHA:    VMAC(1),
		SIP:    "192.0.2.1",
		THA:    PeerMAC,
		TIP:    "192.0.2.2",
	}.Bytes()
	garp := ARPFor("192.0.2.1")
	garp.SIP = garp.TIP
	fromVIP := ARP{DstMAC: BroadcastMAC, SrcMAC: VMAC(1), Op: 1, SHA: VMAC(1), SIP: "192.0.2.1", TIP: "192.0.2.7"}.Bytes()
	naOut := ND{
		SrcMAC:  VMAC(1),
		DstMAC:  NICMAC,
		Src:     VIP6,
		Dst:     PeerAddr6,
		Type:    136,
		Target:  VIP6,
		Options: LLOption(2, VMAC(1)),
	}.Bytes()
	ipOut := Packet{
		SrcMAC:  NICMAC,
		DstMAC:  PeerMAC,
		Src:     GoldenSpec("192.0.2.1").VIPs[0],
		Dst:     PeerAddr,
		TTL:     64,
		Proto:   17,
		Payload: make([]byte, 400),
	}.Bytes()
	own := Packet{Src: ownAddr, Payload: DualAdvert(1, 0, 0, 3).bytes()}.Bytes()
	own6 := Packet6{Src: ownAddr6, Payload: DualAdvert(1, 0, 0, 3).bytes()}.Bytes()
	good := func(skew uint8) []byte { return FrameOf(DualAdvert(1, skew, 0, 7)) }
	badVersion := good(0)
	badVersion[34] = 0x51
	badSum := good(0)
	badSum[41] ^= 1

	h.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 1})
	h.expectSamples("authentic", xdp, good(9), sampled{kind: tables.SampleAuthentic})
	h.expectSamples("authentic over IPv6", xdp, frame6(DualAdvert(1, 9, 0, 7)), sampled{kind: tables.SampleAuthentic})
	h.expectSamples("goodbye", xdp, FrameOf(DualAdvert(255, 255, 0, 7)), sampled{kind: tables.SampleAuthentic})
	h.expectSamples(
		"ttl",
		xdp,
		Packet{TTL: 1, Payload: DualAdvert(1, 0, 0, 7).bytes()}.Bytes(),
		sampled{kind: tables.SampleRejected, reason: "bad_ttl"},
	)
	h.expectSamples("version", xdp, badVersion, sampled{kind: tables.SampleRejected, reason: "bad_version"})
	h.expectSamples(
		"length",
		xdp,
		Packet{Payload: DualAdvert(1, 0, 0, 7).bytes()[:20]}.Bytes(),
		sampled{kind: tables.SampleRejected, reason: "bad_length"},
	)
	h.expectSamples("checksum", xdp, badSum, sampled{kind: tables.SampleRejected, reason: "bad_checksum"})
	h.expectSamples(
		"hmac",
		xdp,
		FrameOf(damaged(DualAdvert(1, 0, 0, 7))),
		sampled{kind: tables.SampleRejected, reason: "bad_hmac"},
	)
	h.expectSamples("vrrp", xdp, Packet{Payload: vrrp2(1, 30)}.Bytes(), sampled{kind: tables.SampleForeignVRRP})
	h.expectSamples(
		"arp in silence",
		xdp,
		ARPFor("192.0.2.1").Bytes(),
		sampled{kind: tables.SampleDropped, reason: "not_answering_arp"},
	)
	h.expectSamples(
		"nd in silence",
		xdp,
		NDFor(VIP6).Bytes(),
		sampled{kind: tables.SampleDropped, reason: "not_answering_nd"},
	)
	h.expectSamples("virtual mac in silence", xdp, Packet{DstMAC: VMAC(1), Proto: 17, Payload: make([]byte, 30)}.Bytes(),
		sampled{kind: tables.SampleDropped, reason: "not_answering_mac"})
	h.expectSamples("announced", xdp, garp.Bytes(), sampled{kind: tables.SampleARPGratuitous})
	h.expectSamples(
		"advert out in silence",
		egress,
		own,
		sampled{kind: tables.SampleDropped, reason: "egress_not_answering_advert", out: true},
	)
	h.expectSamples(
		"arp out in silence",
		egress,
		fromVIP,
		sampled{kind: tables.SampleDropped, reason: "egress_not_answering_arp", out: true},
	)
	h.expectSamples(
		"nd out in silence",
		egress,
		naOut,
		sampled{kind: tables.SampleDropped, reason: "egress_not_answering_nd", out: true},
	)
	h.expectSamples(
		"ip out in silence",
		egress,
		ipOut,
		sampled{kind: tables.SampleDropped, reason: "egress_not_answering_ip", out: true},
	)

	h.Master(2)
	h.Group.SetSentPriority(tables.Priority{})
	h.expectSamples("arp", xdp, ARPFor("192.0.2.1").Bytes(),
		sampled{kind: tables.SampleARPRequest}, sampled{kind: tables.SampleARPReply, frame: arpAnswer, out: true})
	h.expectSamples(
		"nd",
		xdp,
		NDFor(VIP6).Bytes(),
		sampled{
			kind: tables.SampleNDSolicitation,
		},
		sampled{kind: tables.SampleNDAdvertisement, frame: NAFor(VIP6, PeerAddr6, PeerMAC, false), out: true},
	)
	h.expectSamples("advert out", egress, own, sampled{kind: tables.SampleAdvertSent, out: true})
	h.expectSamples("advert out over IPv6", egress, own6, sampled{kind: tables.SampleAdvertSent, out: true})
	h.expectSamples("arp out", egress, fromVIP, sampled{kind: tables.SampleARPSent, out: true})
	h.expectSamples("nd out", egress, naOut, sampled{kind: tables.SampleNDSent, out: true})

	for name, frame := range map[string][]byte{
		"arp for others":     ARPFor("192.0.2.7").Bytes(),
		"udp":                Packet{DstMAC: NICMAC, Proto: 17, Payload: make([]byte, 30)}.Bytes(),
		"to the virtual mac": Packet{DstMAC: VMAC(1), Proto: 17, Payload: make([]byte, 30)}.Bytes(),
		"other vhid":         Packet{Payload: vrrp2(2, 1)}.Bytes(),
	} {
		h.expectSamples(name, xdp, frame)
	}
}

// TestTapAdvert holds what ties a sample to its event, and the flags.
func TestTapAdvert(t *testing.T) {
	h := NewHarness(t)
	h.Samples()
	h.Master(1)
	h.Group.SetSentPriority(tables.Priority{AdvBase: 1, AdvSkew: 100})
	h.Run(FrameOf(Advert(1, 0, 0, 7)))
	evs, got := h.drain(), h.Samples()
	if len(evs) != 1 || len(got) != 1 {
		t.Fatalf("%d events, %d samples", len(evs), len(got))
	}
	if s := got[0]; s.At != evs[0].At || !s.Yielded || s.Proven || s.DemoteAware {
		t.Errorf("sample %+v of event %+v", s, evs[0])
	}
	h.Fresh(ProvenSpec("192.0.2.1"))
	h.Run(Packet{Payload: provenAdvert(7, PeerAddr, tables.Priority{AdvBase: 1}).bytes()}.Bytes())
	if got := h.Samples(); len(got) != 1 || !got[0].Proven || got[0].Yielded {
		t.Errorf("proven: %+v", got)
	}
}

// TestTapBudget: shut until it is drained, so many of a class in an epoch, one class
// never at the cost of another; a capture lifts that, and ends.
func TestTapBudget(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	bad := Packet{TTL: 1, Payload: Advert(1, 0, 0, 7).bytes()}.Bytes()
	good := FrameOf(Advert(1, 0, 0, 7))
	const adverts, others, capture = 72, 16, 160 // bpf/tap.h
	epoch := func(name string, wantBad, wantGood int) {
		t.Helper()
		if got := h.flood(bad, 3000); got["bad_ttl"] != 3000 {
			t.Errorf("%s: counted %v", name, got)
		}
		if got := h.flood(good, 3000); got["received"] != 3000 {
			t.Errorf("%s: counted %v", name, got)
		}
		h.drain()
		time.Sleep(40 * time.Millisecond) // class 1 of the digests has to recover
		n := map[tables.SampleKind]int{}
		for _, s := range h.Samples() {
			n[s.Kind]++
		}
		if n[tables.SampleRejected] != wantBad || n[tables.SampleAuthentic] != wantGood {
			t.Errorf("%s: %v, want %d rejected and %d authentic", name, n, wantBad, wantGood)
		}
	}
	epoch("shut", 0, 0) // and opens
	epoch("open", others, adverts)
	if err := h.Group.SetCapture(true); err != nil {
		t.Fatal(err)
	}
	epoch("captured", capture, capture)
	if err := h.Group.SetCapture(false); err != nil {
		t.Fatal(err)
	}
	epoch("again", others, adverts)
	st, err := h.Group.TapStats()
	if err != nil {
		t.Fatal(err)
	}
	if want := uint64(4*6000 - 2*(others+adverts) - 2*capture); st.Skipped != want || st.Lost != 0 {
		t.Errorf("%+v, want %d skipped", st, want)
	}
}

// TestTapFull: a full ring costs samples, which are counted, and nothing else.
func TestTapFull(t *testing.T) {
	pin(t)
	const each, capture = 3, 160 // classes of a group, and what each may have
	h := NewHarness(t)
	h.Samples()
	var last *tables.Group
	offered := 0
	for vhid := 2; vhid <= 16; vhid++ {
		vip := fmt.Sprintf("192.0.2.%d", 100+vhid)
		s := GoldenSpec(vip)
		s.VHID = uint8(vhid)
		g, err := h.Plane.AddGroup(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.SetCapture(true); err != nil {
			t.Fatal(err)
		}
		last = g
		c := Advert(1, 0, 0, 7)
		c.vhid = uint8(vhid)
		garp := ARPFor(vip)
		garp.SIP = vip
		for _, frame := range [each][]byte{Packet{TTL: 1, Payload: c.bytes()}.Bytes(), ARPFor(vip).Bytes(), garp.Bytes()} {
			h.flood(frame, capture)
			offered += capture
		}
	}
	st, err := last.Stats()
	if err != nil || st.Rejected[slices.Index(tables.RejectReasons(), "bad_ttl")] != capture ||
		st.Dropped[slices.Index(tables.DropReasons(), "not_answering_arp")] != capture {
		t.Errorf("with a full ring: %+v, %v", st, err)
	}
	got, lost, err := h.Plane.DrainTap(nil)
	if err != nil {
		t.Fatal(err)
	}
	if lost == 0 || len(got)+int(lost) != offered {
		t.Errorf("%d samples and %d lost of %d", len(got), lost, offered)
	}
	if !slices.IsSortedFunc(got, func(a, b tables.Sample) int { return int(a.At - b.At) }) {
		t.Error("not in order of time")
	}
	if st, err := last.TapStats(); err != nil || st.Lost == 0 || st.Skipped != 0 {
		t.Errorf("last group: %+v, %v", st, err)
	}
	h.expectSamples(
		"after the drain",
		h.Plane.Objects.VipdXdp,
		ARPFor("192.0.2.1").Bytes(),
		sampled{kind: tables.SampleDropped, reason: "not_answering_arp"},
	)
}

// TestTapNeverWakes: no token for what is sampled, only for events.
func TestTapNeverWakes(t *testing.T) {
	h := NewHarness(t)
	h.Samples()
	h.Run(FrameOf(damaged(Advert(1, 0, 0, 7))))
	select {
	case <-h.Plane.Wake():
		t.Error("a rejected advert woke the agent")
	case <-time.After(100 * time.Millisecond):
	}
	if got := h.Samples(); len(got) != 1 {
		t.Errorf("%d samples", len(got))
	}
	h.Run(FrameOf(Advert(1, 0, 0, 7)))
	select {
	case <-h.Plane.Wake():
	case <-time.After(5 * time.Second):
		t.Error("no token for an authentic one")
	}
}

// TestTapTruncated takes every length of a frame: what is sampled is what was there.
func TestTapTruncated(t *testing.T) {
	h := NewHarness(t)
	whole := Packet{Payload: append(Advert(1, 0, 0, 7).bytes(), make([]byte, 100)...)}.Bytes()
	sampled := 0
	for n := 36; n < len(whole); n++ {
		h.Samples()
		h.Run(whole[:n])
		for _, s := range h.Samples() {
			sampled++
			if s.Length != n || !bytes.Equal(s.Data, whole[:min(n, tables.MaxSampleBytes)]) {
				t.Fatalf("%d bytes: %d sampled, said to be of %d", n, len(s.Data), s.Length)
			}
		}
	}
	if want := len(whole) - 36; sampled != want {
		t.Errorf("%d samples of %d frames", sampled, want)
	}
}
