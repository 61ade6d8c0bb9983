// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

func (h *harness) samples() []Sample {
	h.t.Helper()
	got, _, err := h.d.DrainTap(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return got
}

// sampled is what one sample has to say.
type sampled struct {
	kind   SampleKind
	reason string
	frame  []byte // nil: the one that was run
	out    bool
}

func (h *harness) expectSamples(name string, p *ebpf.Program, frame []byte, want ...sampled) {
	h.t.Helper()
	h.samples() // a new epoch
	before := bootNow()
	runProg(h.t, p, frame)
	got := h.samples()
	if len(got) != len(want) {
		h.t.Errorf("%s: %d samples, want %d: %+v", name, len(got), len(want), got)
		return
	}
	for i, w := range want {
		s := got[i]
		if w.frame == nil {
			w.frame = frame
		}
		if s.Kind != w.kind || s.Reason != w.reason || s.Out != w.out || s.Slot != h.g.Slot() || s.IfIndex != loIndex {
			h.t.Errorf("%s: sample %d is %+v, want %+v", name, i, s, w)
		}
		if s.At < before || s.At > bootNow() {
			h.t.Errorf("%s: sample %d at %d, not between %d and now", name, i, s.At, before)
		}
		if s.Length != len(w.frame) || !bytes.Equal(s.Data, w.frame[:min(len(w.frame), MaxSampleBytes)]) {
			h.t.Errorf("%s: sample %d of %d bytes\n%x, want\n%x", name, i, s.Length, s.Data, w.frame)
		}
	}
}

// TestTap goes through every kind of sample and every reason.
func TestTap(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	xdp, egress := h.d.objs.VipdXdp, h.d.objs.VipdEgress
	arpAnswer := arp{dstMAC: peerMAC, srcMAC: vmac(1), op: 2, sha: vmac(1), sip: "192.0.2.1", tha: peerMAC, tip: "192.0.2.2"}.bytes()
	garp := arpFor("192.0.2.1")
	garp.sip = garp.tip
	fromVIP := arp{dstMAC: broadcastMAC, srcMAC: vmac(1), op: 1, sha: vmac(1), sip: "192.0.2.1", tip: "192.0.2.7"}.bytes()
	naOut := nd{srcMAC: vmac(1), dstMAC: nicMAC, src: vip6, dst: peerAddr6, typ: 136, target: vip6, options: llOption(2, vmac(1))}.bytes()
	ipOut := packet{srcMAC: nicMAC, dstMAC: peerMAC, src: goldenSpec("192.0.2.1").VIPs[0], dst: peerAddr, ttl: 64, proto: 17, payload: make([]byte, 400)}.bytes()
	own := packet{src: ownAddr, payload: dualAdvert(1, 0, 0, 3).bytes()}.bytes()
	own6 := packet6{src: ownAddr6, payload: dualAdvert(1, 0, 0, 3).bytes()}.bytes()
	good := func(skew uint8) []byte { return frameOf(dualAdvert(1, skew, 0, 7)) }
	badVersion := good(0)
	badVersion[34] = 0x51
	badSum := good(0)
	badSum[41] ^= 1

	h.g.SetRole(Role{State: RoleBackup, Generation: 1})
	h.expectSamples("authentic", xdp, good(9), sampled{kind: SampleAuthentic})
	h.expectSamples("authentic over IPv6", xdp, frame6(dualAdvert(1, 9, 0, 7)), sampled{kind: SampleAuthentic})
	h.expectSamples("goodbye", xdp, frameOf(dualAdvert(255, 255, 0, 7)), sampled{kind: SampleAuthentic})
	h.expectSamples("ttl", xdp, packet{ttl: 1, payload: dualAdvert(1, 0, 0, 7).bytes()}.bytes(), sampled{kind: SampleRejected, reason: "bad_ttl"})
	h.expectSamples("version", xdp, badVersion, sampled{kind: SampleRejected, reason: "bad_version"})
	h.expectSamples("length", xdp, packet{payload: dualAdvert(1, 0, 0, 7).bytes()[:20]}.bytes(), sampled{kind: SampleRejected, reason: "bad_length"})
	h.expectSamples("checksum", xdp, badSum, sampled{kind: SampleRejected, reason: "bad_checksum"})
	h.expectSamples("hmac", xdp, frameOf(damaged(dualAdvert(1, 0, 0, 7))), sampled{kind: SampleRejected, reason: "bad_hmac"})
	h.expectSamples("vrrp", xdp, packet{payload: vrrp2(1, 30)}.bytes(), sampled{kind: SampleForeignVRRP})
	h.expectSamples("arp in silence", xdp, arpFor("192.0.2.1").bytes(), sampled{kind: SampleDropped, reason: "not_answering_arp"})
	h.expectSamples("nd in silence", xdp, ndFor(vip6).bytes(), sampled{kind: SampleDropped, reason: "not_answering_nd"})
	h.expectSamples("virtual mac in silence", xdp, packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 30)}.bytes(),
		sampled{kind: SampleDropped, reason: "not_answering_mac"})
	h.expectSamples("announced", xdp, garp.bytes(), sampled{kind: SampleARPGratuitous})
	h.expectSamples("advert out in silence", egress, own, sampled{kind: SampleDropped, reason: "egress_not_answering_advert", out: true})
	h.expectSamples("arp out in silence", egress, fromVIP, sampled{kind: SampleDropped, reason: "egress_not_answering_arp", out: true})
	h.expectSamples("nd out in silence", egress, naOut, sampled{kind: SampleDropped, reason: "egress_not_answering_nd", out: true})
	h.expectSamples("ip out in silence", egress, ipOut, sampled{kind: SampleDropped, reason: "egress_not_answering_ip", out: true})

	h.master(2)
	h.g.SetSentPriority(Priority{})
	h.expectSamples("arp", xdp, arpFor("192.0.2.1").bytes(),
		sampled{kind: SampleARPRequest}, sampled{kind: SampleARPReply, frame: arpAnswer, out: true})
	h.expectSamples("nd", xdp, ndFor(vip6).bytes(),
		sampled{kind: SampleNDSolicitation}, sampled{kind: SampleNDAdvertisement, frame: naFor(vip6, peerAddr6, peerMAC, false), out: true})
	h.expectSamples("advert out", egress, own, sampled{kind: SampleAdvertSent, out: true})
	h.expectSamples("advert out over IPv6", egress, own6, sampled{kind: SampleAdvertSent, out: true})
	h.expectSamples("arp out", egress, fromVIP, sampled{kind: SampleARPSent, out: true})
	h.expectSamples("nd out", egress, naOut, sampled{kind: SampleNDSent, out: true})

	for name, frame := range map[string][]byte{
		"arp for others": arpFor("192.0.2.7").bytes(), "udp": packet{dstMAC: nicMAC, proto: 17, payload: make([]byte, 30)}.bytes(),
		"to the virtual mac": packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 30)}.bytes(),
		"other vhid":         packet{payload: vrrp2(2, 1)}.bytes(),
	} {
		h.expectSamples(name, xdp, frame)
	}
}

// TestTapAdvert holds what ties a sample to its event, and the flags.
func TestTapAdvert(t *testing.T) {
	h := newHarness(t)
	h.samples()
	h.master(1)
	h.g.SetSentPriority(Priority{AdvBase: 1, AdvSkew: 100})
	h.run(frameOf(advert(1, 0, 0, 7)))
	evs, got := h.drain(), h.samples()
	if len(evs) != 1 || len(got) != 1 {
		t.Fatalf("%d events, %d samples", len(evs), len(got))
	}
	if s := got[0]; s.At != evs[0].At || !s.Yielded || s.Sealed || s.DemoteAware {
		t.Errorf("sample %+v of event %+v", s, evs[0])
	}
	h.fresh(sealedSpec("192.0.2.1"))
	h.run(packet{payload: sealedAdvert(7, peerAddr, Priority{AdvBase: 1}).bytes()}.bytes())
	if got := h.samples(); len(got) != 1 || !got[0].Sealed || got[0].Yielded {
		t.Errorf("sealed: %+v", got)
	}
}

// TestTapBudget: shut until it is drained, so many of a class in an epoch, one class
// never at the cost of another; a capture lifts that, and ends.
func TestTapBudget(t *testing.T) {
	pin(t)
	h := newHarness(t)
	bad := packet{ttl: 1, payload: advert(1, 0, 0, 7).bytes()}.bytes()
	good := frameOf(advert(1, 0, 0, 7))
	const adverts, others, capture = 72, 16, 256 // bpf/tap.h
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
		n := map[SampleKind]int{}
		for _, s := range h.samples() {
			n[s.Kind]++
		}
		if n[SampleRejected] != wantBad || n[SampleAuthentic] != wantGood {
			t.Errorf("%s: %v, want %d rejected and %d authentic", name, n, wantBad, wantGood)
		}
	}
	epoch("shut", 0, 0) // and opens
	epoch("open", others, adverts)
	if err := h.g.SetCapture(true); err != nil {
		t.Fatal(err)
	}
	epoch("captured", capture, capture)
	if err := h.g.SetCapture(false); err != nil {
		t.Fatal(err)
	}
	epoch("again", others, adverts)
	st, err := h.g.TapStats()
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
	const each, capture = 3, 256 // classes of a group, and what each may have
	h := newHarness(t)
	h.samples()
	var last *Group
	offered := 0
	for vhid := 2; vhid <= 12; vhid++ {
		vip := fmt.Sprintf("192.0.2.%d", 100+vhid)
		s := goldenSpec(vip)
		s.VHID = uint8(vhid)
		g, err := h.d.AddGroup(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.SetCapture(true); err != nil {
			t.Fatal(err)
		}
		last = g
		c := advert(1, 0, 0, 7)
		c.vhid = uint8(vhid)
		garp := arpFor(vip)
		garp.sip = vip
		for _, frame := range [each][]byte{packet{ttl: 1, payload: c.bytes()}.bytes(), arpFor(vip).bytes(), garp.bytes()} {
			h.flood(frame, capture)
			offered += capture
		}
	}
	st, err := last.Stats()
	if err != nil || st.Rejected[slices.Index(RejectReasons(), "bad_ttl")] != capture || st.Dropped[slices.Index(DropReasons(), "not_answering_arp")] != capture {
		t.Errorf("with a full ring: %+v, %v", st, err)
	}
	got, lost, err := h.d.DrainTap(nil)
	if err != nil {
		t.Fatal(err)
	}
	if lost == 0 || len(got)+int(lost) != offered {
		t.Errorf("%d samples and %d lost of %d", len(got), lost, offered)
	}
	if !slices.IsSortedFunc(got, func(a, b Sample) int { return int(a.At - b.At) }) {
		t.Error("not in order of time")
	}
	if st, err := last.TapStats(); err != nil || st.Lost == 0 || st.Skipped != 0 {
		t.Errorf("last group: %+v, %v", st, err)
	}
	h.expectSamples("after the drain", h.d.objs.VipdXdp, arpFor("192.0.2.1").bytes(), sampled{kind: SampleDropped, reason: "not_answering_arp"})
}

// TestTapNeverWakes: no token for what is sampled, only for events.
func TestTapNeverWakes(t *testing.T) {
	h := newHarness(t)
	h.samples()
	h.run(frameOf(damaged(advert(1, 0, 0, 7))))
	select {
	case <-h.d.Wake():
		t.Error("a rejected advert woke the agent")
	case <-time.After(100 * time.Millisecond):
	}
	if got := h.samples(); len(got) != 1 {
		t.Errorf("%d samples", len(got))
	}
	h.run(frameOf(advert(1, 0, 0, 7)))
	select {
	case <-h.d.Wake():
	case <-time.After(5 * time.Second):
		t.Error("no token for an authentic one")
	}
}

// TestTapClosed: who goes shuts the tap behind them.
func TestTapClosed(t *testing.T) {
	h := newHarness(t)
	h.samples()
	h.run(arpFor("192.0.2.1").bytes()) // a budget is open
	if err := h.d.tap.close(); err != nil {
		t.Fatal(err)
	}
	h.run(arpFor("192.0.2.1").bytes())
	if st, err := h.g.TapStats(); err != nil || st.Skipped != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	if _, _, err := h.d.DrainTap(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("drain: %v", err)
	}
	var err error
	if h.d.tap, err = openTap(&h.d.objs); err != nil { // for the end of the test
		t.Fatal(err)
	}
}

// TestTapTruncated takes every length of a frame: what is sampled is what was there.
func TestTapTruncated(t *testing.T) {
	h := newHarness(t)
	whole := packet{payload: append(advert(1, 0, 0, 7).bytes(), make([]byte, 100)...)}.bytes()
	sampled := 0
	for n := 36; n < len(whole); n++ {
		h.samples()
		h.run(whole[:n])
		for _, s := range h.samples() {
			sampled++
			if s.Length != n || !bytes.Equal(s.Data, whole[:min(n, MaxSampleBytes)]) {
				t.Fatalf("%d bytes: %d sampled, said to be of %d", n, len(s.Data), s.Length)
			}
		}
	}
	if want := len(whole) - 36; sampled != want {
		t.Errorf("%d samples of %d frames", sampled, want)
	}
}
