// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
)

// frameBatch is how many frames go by between two looks at counters and events.
const frameBatch = 500

// TestRandomFrames runs random frames, most of them close to what is ours, through the program and its twin: verdict and
// frame of each, counters and events of each batch. VIPD_FRAMES is how many (make fuzz-frames).
func TestRandomFrames(t *testing.T) {
	pin(t)
	total := 20_000
	if text := os.Getenv("VIPD_FRAMES"); text != "" {
		var err error
		if total, err = strconv.Atoi(text); err != nil {
			t.Fatalf("VIPD_FRAMES: %v", err)
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := &frameSource{rand.New(rand.NewPCG(seed, 0))}
	h := newHarness(t, dualVIPs()...)
	sum, run := map[string]uint64{}, 0
	for left := total; left > 0 && !t.Failed(); left -= frameBatch {
		for what, n := range r.batch(h, run, min(left, frameBatch), seed) {
			sum[what] += n
		}
		if run++; run%2000 == 0 {
			t.Logf("%d frames, no difference", run*frameBatch)
		}
	}
	t.Logf("%d frames: %v", total, sum)
	// What is random has to come by all that there is.
	for _, what := range []string{"received", "bad_ttl", "bad_version", "bad_length", "bad_checksum", "bad_hmac", "replay", "verdict 1", "verdict 2", "verdict 3", "egress true", "egress false"} {
		if sum[what] == 0 && total >= 20_000 {
			t.Errorf("none of %d frames was %q: the witness is missing", total, what)
		}
	}
}

// batch has a group of its own, with one of the rules; half of the batches remember what was heard.
func (r *frameSource) batch(h *harness, run, frames int, seed uint64) map[string]uint64 {
	twin := rules{ttlAny: run&1 != 0, requireSeal: run&2 != 0}
	if run&4 != 0 {
		twin.seqs = map[[16]byte]uint32{}
	}
	s := sealedSpec(dualVIPs()...)
	s.RequireSeal = twin.requireSeal
	if twin.ttlAny {
		s.TTL = TTLAny
	}
	h.fresh(s)
	h.drain()
	h.g.SetSentPriority(Priority{}) // the best: nothing but its equal makes us yield
	zero := make([]bpfBudget, ebpf.MustPossibleCPU())
	want, before := map[string]uint64{}, h.counters()
	answering, heard := false, false
	for i := range frames {
		if i%50 == 0 || answering {
			answering = r.IntN(2) == 0
			generation := h.g.Generation() + 1
			h.g.SetRole(Role{State: RoleBackup, Generation: generation})
			if answering {
				h.master(generation)
			}
		}
		err := h.d.objs.Budget.Put(h.g.slot, zero)
		if twin.seqs == nil && heard {
			err, heard = errors.Join(err, h.g.forgetSources()), false
		}
		if err != nil {
			h.t.Fatal(err)
		}
		frame := r.frame()
		if left, said := h.egress(frame, answering); said == "" {
			want[fmt.Sprint("egress ", left)]++
		} else {
			h.t.Errorf("seed %d, batch %d, frame %d, answering %v, egress: %s", seed, run, i, answering, said)
			return want
		}
		w := twin.twin(frame, answering)
		verdict, out := h.run(frame)
		if verdict != w.verdict || !bytes.Equal(out, w.frame) {
			h.t.Errorf("seed %d, batch %d, frame %d, %+v, answering %v: verdict %d, want %d\n%x became\n%x, want\n%x",
				seed, run, i, twin, answering, verdict, w.verdict, frame, out, w.frame)
			return want
		}
		if w.reason != "" {
			want[w.reason]++
			heard = heard || w.reason == "received"
		}
		want[fmt.Sprint("verdict ", verdict)]++
	}
	rose := since(before, h.counters())
	for _, name := range append(RejectReasons(), "received") {
		if rose[name] != want[name] {
			h.t.Errorf("seed %d, batch %d, %+v: %d counted as %q, want %d", seed, run, twin, rose[name], name, want[name])
		}
	}
	if n := uint64(len(h.drain())); n != want["received"] {
		h.t.Errorf("seed %d, batch %d: %d events for %d adverts", seed, run, n, want["received"])
	}
	return want
}

// egress runs a frame through the egress program and tells whether it left, and what went other than with the twin.
func (h *harness) egress(frame []byte, answering bool) (left bool, said string) {
	proto := binary.BigEndian.Uint16(frame[12:])
	if proto == 0x0800 && len(frame) < 34 || proto == 0x86dd && len(frame) < 54 || len(frame) < 15 {
		return true, "" // a test run wants a whole header
	}
	verdict, out := runProg(h.t, h.d.objs.VipdEgress, frame)
	want, as, known := twinEgress(frame, answering)
	if verdict != want || known && !bytes.Equal(out, as) {
		said = fmt.Sprintf("verdict %d, want %d\n%x became\n%x, want\n%x", int32(verdict), int32(want), frame, out, as)
	}
	return verdict == tcUnspec, said
}

// frameSource makes frames.
type frameSource struct{ *rand.Rand }

// frame is one of what is ours, as it is or damaged: bits, lengths, headers; half of the damaged ones with their
// checksums put right, so that what comes after is looked at.
func (r *frameSource) frame() []byte {
	f := r.whole()
	for range r.IntN(4) {
		switch r.IntN(5) {
		case 0, 1:
			f[r.IntN(len(f))] ^= byte(1 << r.IntN(8))
		case 2:
			f[r.IntN(min(len(f), 80))] = byte(r.Uint32())
		case 3:
			f = f[:14+r.IntN(len(f)-13)]
		case 4:
			f = append(f, make([]byte, r.IntN(40))...)
			f[len(f)-1] = byte(r.Uint32())
		}
	}
	if r.IntN(2) == 0 {
		mend(f)
	}
	return f
}

func (r *frameSource) whole() []byte {
	macs := [][6]byte{nicMAC, peerMAC, vmac(1), vmac(2), broadcastMAC, {1, 0, 0x5e, 0, 0, 0x12}}
	mac := macs[r.IntN(len(macs))]
	four := []netip.Addr{peerAddr, ownAddr, carpGroup, netip.IPv4Unspecified(), netip.AddrFrom4([4]byte{192, 0, 2, byte(r.Uint32())})}
	six := []netip.Addr{peerAddr6, ownAddr6, carpGroup6, vip6, netip.IPv6Unspecified()}
	pick := func(of []netip.Addr) netip.Addr { return of[r.IntN(len(of))] }
	switch r.IntN(12) {
	case 0:
		f := make([]byte, 14+r.IntN(200))
		for i := range f {
			f[i] = byte(r.Uint32())
		}
		binary.BigEndian.PutUint16(f[12:], []uint16{0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8}[r.IntN(5)])
		return f
	case 1:
		return arpFor([]string{"192.0.2.1", "192.0.2.7"}[r.IntN(2)]).bytes()
	case 2:
		return [][]byte{ndFor(vip6).bytes(), dadFor(vip6).bytes(), withNonce(ndFor(vip6)).bytes(), unicastND(vip6).bytes(), naFor(vip6, peerAddr6, nicMAC, true)}[r.IntN(5)]
	case 3:
		if r.IntN(2) == 0 { // from the VIPs
			return [][]byte{
				packet{src: netip.MustParseAddr("192.0.2.1"), dst: peerAddr, dstMAC: mac, proto: 17, payload: make([]byte, r.IntN(60))}.bytes(),
				packet6{src: vip6, dst: peerAddr6, dstMAC: mac, next: 17, payload: make([]byte, r.IntN(60))}.bytes(),
				arp{dstMAC: broadcastMAC, srcMAC: nicMAC, op: 1, sha: nicMAC, sip: "192.0.2.1", tip: "192.0.2.2"}.bytes(),
			}[r.IntN(3)]
		}
		return packet{dstMAC: mac, proto: 17, payload: make([]byte, r.IntN(60))}.bytes()
	case 4:
		return packet{payload: [][]byte{vrrp2(1, 2), vrrp3(1, 2, peerAddr, carpGroup)}[r.IntN(2)]}.bytes()
	case 5:
		return packet6{payload: vrrp3v6(1, 2, peerAddr6, carpGroup6)}.bytes()
	case 6, 7, 8:
		src := pick(four)
		return packet{src: src, dst: pick(four[:3]), dstMAC: mac, ttl: []uint8{255, 255, 255, 64}[r.IntN(4)], payload: r.advert(src).bytes(), options: make([]byte, 4*(r.IntN(8)/6))}.bytes()
	default:
		src := pick(six)
		return packet6{src: src, dst: pick(six[:3]), dstMAC: mac, hops: []uint8{255, 255, 255, 64}[r.IntN(4)], payload: r.advert(src).bytes()}.bytes()
	}
}

// advert is authentic, and sealed, with a broken seal or without one.
func (r *frameSource) advert(src netip.Addr) carp {
	p := Priority{AdvBase: uint8(1 + r.IntN(3)), AdvSkew: uint8(r.IntN(4)), Demote: uint8(r.IntN(3))}
	counter := r.Uint64()
	switch r.IntN(3) {
	case 0:
		counter = sealed(sealKey(), 1000+uint32(r.IntN(30)), src, p)
	case 1:
		counter = sealed(sealKey(), 1000+uint32(r.IntN(30)), src, Priority{AdvBase: p.AdvBase, AdvSkew: p.AdvSkew + 1})
	}
	return dualAdvert(p.AdvBase, p.AdvSkew, p.Demote, counter)
}

// mend puts the checksums of an IPv4 header, an advert and a neighbour solicitation right.
func mend(f []byte) {
	set := func(sum, from, to int, pseudo []byte) {
		if to <= len(f) && from < to && sum+2 <= to {
			f[sum], f[sum+1] = 0, 0
			binary.BigEndian.PutUint16(f[sum:], sum16(slices.Clone(pseudo), f[from:to]))
		}
	}
	if len(f) < 34 {
		return
	}
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x0800:
		hl := 4 * int(f[14]&15)
		set(24, 14, 14+hl, nil)
		set(14+hl+6, 14+hl, 14+hl+36, nil)
	case 0x86dd:
		if len(f) < 54 {
			return
		}
		plen := int(binary.BigEndian.Uint16(f[18:]))
		switch f[20] {
		case 112:
			set(60, 54, 90, nil)
		case 58:
			src, dst := netip.AddrFrom16([16]byte(f[22:38])), netip.AddrFrom16([16]byte(f[38:54]))
			set(56, 54, 54+plen, pseudo6(src, dst, 58, plen))
		}
	}
}
