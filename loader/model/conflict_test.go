// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vipd/loader/object"
	"vipd/loader/tables"
)

var intruder = [6]byte{2, 0, 0, 0, 0, 0x66}

// claims runs a frame and returns what the agent is told.
func (h *Harness) claims(frame []byte) []tables.Claim {
	h.T.Helper()
	h.Run(frame)
	if evs := h.drain(); len(evs) != 0 {
		h.T.Errorf("a claim is no advert: %+v", evs)
	}
	return h.Plane.Claims(nil)
}

// TestClaims: whoever gives a VIP to another MAC is told of, in whatever message, and the frame passes.
func TestClaims(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	ll := netip.MustParseAddr("ff02::1")
	vip := ARP{DstMAC: BroadcastMAC, SrcMAC: intruder, Op: 1, SHA: intruder, SIP: "192.0.2.1", TIP: "192.0.2.1"}
	four := func(change func(*ARP)) []byte {
		a := vip
		change(&a)
		return a.Bytes()
	}
	na := ND{
		DstMAC:  [6]byte{0x33, 0x33, 0, 0, 0, 1},
		SrcMAC:  intruder,
		Src:     PeerAddr6,
		Dst:     ll,
		Type:    136,
		Target:  VIP6,
		flags:   0x20000000,
		Options: LLOption(2, intruder),
	}
	six := func(change func(*ND)) []byte {
		n := na
		change(&n)
		return n.Bytes()
	}
	sixth := four(func(*ARP) {})
	sixth[15] = 6
	frames := map[string]struct {
		frame []byte
		mac   [6]byte // zero: no claim
		src   [6]byte
	}{
		"gratuitous request": {four(func(*ARP) {}), intruder, intruder},
		"gratuitous reply":   {four(func(a *ARP) { a.Op = 2 }), intruder, intruder},
		"reply to us": {
			four(func(a *ARP) { a.Op, a.DstMAC, a.TIP = 2, NICMAC, "192.0.2.9" }),
			intruder,
			intruder,
		},
		"question from the VIP":       {four(func(a *ARP) { a.TIP = "192.0.2.7" }), intruder, intruder},
		"hardware type 6":             {sixth, intruder, intruder},
		"our MAC on the frame alone":  {four(func(a *ARP) { a.SrcMAC = VMAC(1) }), intruder, VMAC(1)},
		"this node's own NIC":         {four(func(a *ARP) { a.SrcMAC, a.SHA = NICMAC, NICMAC }), NICMAC, NICMAC},
		"another group's virtual MAC": {four(func(a *ARP) { a.SHA = VMAC(2) }), VMAC(2), intruder},
		"as FreeBSD takes over":       {four(func(a *ARP) { a.SHA = VMAC(1) }), [6]byte{}, [6]byte{}},
		"a probe":                     {four(func(a *ARP) { a.SIP = "0.0.0.0" }), [6]byte{}, [6]byte{}},
		"another address": {
			four(func(a *ARP) { a.SIP, a.TIP = "192.0.2.7", "192.0.2.7" }),
			[6]byte{},
			[6]byte{},
		},
		"no request and no reply": {four(func(a *ARP) { a.Op = 8 }), [6]byte{}, [6]byte{}},
		"unsolicited NA":          {six(func(*ND) {}), intruder, intruder},
		"solicited NA": {
			six(func(n *ND) { n.flags, n.Dst, n.DstMAC = 0x40000000, ownAddr6, NICMAC }),
			intruder,
			intruder,
		},
		"NA from the VIP":              {six(func(n *ND) { n.Src = VIP6 }), intruder, intruder},
		"NA without an option":         {six(func(n *ND) { n.Options = nil }), intruder, intruder},
		"NA with our MAC on the frame": {six(func(n *ND) { n.SrcMAC = VMAC(1) }), intruder, VMAC(1)},
		"NS from the VIP": {
			six(func(n *ND) { n.Type, n.Src, n.Target, n.Options = 135, VIP6, PeerAddr6, LLOption(1, intruder) }),
			intruder,
			intruder,
		},
		"RS from the VIP": {
			six(func(n *ND) { n.Type, n.Src, n.Target, n.Options = 133, VIP6, netip.Addr{}, LLOption(1, intruder) }),
			intruder,
			intruder,
		},
		"NA with the virtual MAC":  {six(func(n *ND) { n.Options = LLOption(2, VMAC(1)) }), [6]byte{}, [6]byte{}},
		"NA through a router":      {six(func(n *ND) { n.hops = 254 }), [6]byte{}, [6]byte{}},
		"NA with a code":           {six(func(n *ND) { n.code = 1 }), [6]byte{}, [6]byte{}},
		"NA with a wrong checksum": {six(func(n *ND) { n.badSum = true }), [6]byte{}, [6]byte{}},
		"NA with a malformed option": {
			six(func(n *ND) { n.Options = []byte{2, 0, 0, 0, 0, 0, 0, 0} }),
			[6]byte{},
			[6]byte{},
		},
		"NA of another address":            {six(func(n *ND) { n.Target = PeerAddr6 }), [6]byte{}, [6]byte{}},
		"duplicate address detection":      {dadFor(VIP6).Bytes(), [6]byte{}, [6]byte{}},
		"a question of another's for them": {NDFor(VIP6).Bytes(), [6]byte{}, [6]byte{}},
	}
	for _, ingress := range []bool{false, true} {
		h.ingress = ingress
		for name, tc := range frames {
			for state, role := range map[string]tables.Role{
				"master": {State: tables.RoleMaster, Lease: BootNow() + 60e9},
				"backup": {State: tables.RoleBackup},
				"init":   {State: tables.RoleInit},
			} {
				h.Fresh(GoldenSpec(DualVIPs()...))
				role.Generation = 1
				h.Group.SetRole(role)
				var want []tables.Claim
				if tc.mac != ([6]byte{}) && role.State != tables.RoleInit {
					addr := VIP6
					if tc.frame[12] == 8 {
						addr = netip.MustParseAddr("192.0.2.1")
					}
					want = []tables.Claim{
						{IfIndex: LoIndex, VHID: 1, Slot: h.Group.Slot(), Addr: addr, MAC: tc.mac, Source: tc.src, Count: 1},
					}
				}
				from := BootNow()
				got := h.claims(tc.frame)
				if d := cmp.Diff(
					want,
					got,
					cmpopts.IgnoreFields(tables.Claim{}, "At"),
					cmpopts.EquateComparable(netip.Addr{}),
				); d != "" {
					t.Errorf("%s, %s, ingress %v (-want +got):\n%s", name, state, ingress, d)
				}
				for _, c := range got {
					if c.At < from || c.At > BootNow() {
						t.Errorf("%s: at %d, not since %d", name, c.At, from)
					}
				}
			}
		}
	}
}

// TestClaimsOfAFlood: one is told of once in a tenth of a second, with how many there were; another MAC and another
// address are told of beside it; and the ring has room for adverts whatever happens.
func TestClaimsOfAFlood(t *testing.T) {
	pin(t)
	h := NewHarness(t, "192.0.2.1", "192.0.2.50")
	h.Master(1)
	flood := ARP{DstMAC: BroadcastMAC, SrcMAC: intruder, Op: 2, SHA: intruder, SIP: "192.0.2.1", TIP: "192.0.2.1"}
	const n = 50_000
	began := time.Now()
	if _, _, err := h.Plane.Objects.VipdXdp.Benchmark(flood.Bytes(), n, nil); err != nil {
		t.Fatal(err)
	}
	most := int(time.Since(began)/(100*time.Millisecond)) + 2
	h.drain()
	got := h.Plane.Claims(nil)
	if len(got) == 0 || len(got) > most {
		t.Errorf("%d claims are told of, want at most %d", len(got), most)
	}
	time.Sleep(120 * time.Millisecond) // the pace is what this is about
	total := uint32(0)
	for _, c := range append(got, h.claims(flood.Bytes())...) {
		total += c.Count
	}
	if total != n+1 {
		t.Errorf("%d claims in all, want %d", total, n+1)
	}
	if st, err := h.Group.VIPStats(); err != nil || st.Of(netip.MustParseAddr("192.0.2.1")).Claims != n+1 {
		t.Errorf("counted %+v, %v", st, err)
	}
	if got := h.claims(flood.Bytes()); len(got) != 0 {
		t.Errorf("the same at once: %+v", got)
	}
	other := flood
	other.SIP = "192.0.2.50"
	if got := h.claims(other.Bytes()); len(got) != 1 {
		t.Errorf("another address: %+v", got)
	}
	time.Sleep(20 * time.Millisecond)
	other = flood
	other.SHA = PeerMAC
	if got := h.claims(other.Bytes()); len(got) != 1 || got[0].MAC != PeerMAC {
		t.Errorf("another MAC: %+v", got)
	}
}

// TestClaimsLeaveRoom: claims stop where the ring is a quarter full.
func TestClaimsLeaveRoom(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	h.Master(1)
	h.Group.SetSentPriority(tables.Priority{})
	adverts := int(h.Plane.Objects.Events.MaxEntries()) / 4 / 72
	if got := h.floodTold(FrameOf(Advert(1, 0, 0, 7)), adverts+2); got["events_lost"] != 0 {
		t.Fatalf("counted %v", got)
	}
	claim := ARP{DstMAC: BroadcastMAC, SrcMAC: intruder, Op: 2, SHA: intruder, SIP: "192.0.2.1", TIP: "192.0.2.1"}
	h.Run(claim.Bytes())
	h.drain()
	if got := h.Plane.Claims(nil); len(got) != 0 {
		t.Errorf("in a ring that is a quarter full: %+v", got)
	}
	if got := h.claims(claim.Bytes()); len(got) != 1 || got[0].Count != 2 {
		t.Errorf("after the drain: %+v", got)
	}
}

// TestNews: copies of an advert make one event in half an interval, and changes a few; the record has them all.
func TestNews(t *testing.T) {
	h := NewHarness(t)
	h.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 1})
	run := func(frames ...[]byte) (events int) {
		t.Helper()
		for _, f := range frames {
			h.Run(f)
		}
		return len(h.drain())
	}
	same := FrameOf(Advert(1, 0, 0, 7))
	run(same)
	before := h.Seen()
	if n := run(same, same, FrameOf(Advert(1, 0, 0, 8)), same); n != 0 {
		t.Errorf("%d events of copies, and of another counter", n)
	}
	if s := h.Seen(); s.Count != before.Count+4 || s.At <= before.At || s.Counter != 7 {
		t.Errorf("the record does not have all: %+v", s)
	}
	if n := run(FrameOf(Advert(1, 1, 0, 7)), FrameOf(Advert(255, 255, 0, 7)), same); n != 3 {
		t.Errorf("%d events, want one for each priority", n)
	}
	if n := run(from("192.0.2.77", Advert(1, 0, 0, 7)), same); n != 2 {
		t.Errorf("%d events, want one for each source", n)
	}
	h.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 2})
	if n := run(same, same); n != 1 {
		t.Errorf("%d events after a new role, want 1", n)
	}
	h.Master(3)
	h.Group.SetSentPriority(tables.Priority{AdvBase: 2})
	if n := run(same, same); n != 1 || h.Seen().YieldedGeneration != 3 {
		t.Errorf("%d events for a yield, want 1; %+v", n, h.Seen())
	}
	changes := 0
	for i := range 240 {
		changes += run(FrameOf(Advert(1, uint8(i), 0, 7)))
	}
	if changes < newsChanges/2 || changes > newsChanges {
		t.Errorf(
			"%d events of a source that changes with every advert, want %d less what it said before",
			changes,
			newsChanges,
		)
	}
	h.Master(4)
	if n := run(same); n != 1 || h.Seen().YieldedGeneration != 4 {
		t.Errorf("a yield is told of whatever came before: %d events, %+v", n, h.Seen())
	}
	h.untold()
	if n := run(same); n != 1 {
		t.Errorf("%d events half an interval later", n)
	}
}

// TestNewsOfABeat: the agent is told at once that the next advert comes sooner or later than stated before, also if it
// permits that repetitions are withheld. A BACKUP that does not permit that is told of each beat; any other agent hears
// no more of them than of ordinary adverts.
func TestNewsOfABeat(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	number := uint64(1000)
	told := func(beat uint16) *tables.Event {
		t.Helper()
		number++
		c := provenAdvert(number, PeerAddr, prio(1, 100, 0))
		c.trailer = trailerFor(trailerKey(), PeerAddr, c, beat)
		h.Run(FrameOf(c))
		if s := h.Seen(); s.Counter != number || s.Beat != beat {
			t.Fatalf("heard %+v, want number %d with a beat of %d", s, number, beat)
		}
		evs := h.drain()
		if len(evs) == 0 {
			return nil
		}
		return &evs[len(evs)-1]
	}
	const beat, other = 30_000, 20_000
	roles := map[string]uint8{"INIT": tables.RoleInit, "BACKUP": tables.RoleBackup, "MASTER": tables.RoleMaster}
	for name, state := range roles {
		h.untold()
		h.Group.SetRole(tables.Role{State: state, Generation: 1, Lease: BootNow() + int64(time.Hour)})
		for _, beat := range []uint16{0, beat, other, 0} {
			if e := told(beat); e == nil || e.Beat != beat {
				t.Errorf("%s, another beat of %d us: told %+v", name, beat, e)
			}
		}
		told(beat)
		for _, ago := range []time.Duration{0, beat * time.Microsecond / 2} {
			at := h.toldAgo(ago)
			e := told(beat)
			soon := h.Seen().At < at+beat*int64(time.Microsecond)/2 // not on a machine that was busy meanwhile
			if want := ago > 0 && state == tables.RoleBackup; (e != nil) != want && (ago > 0 || soon) {
				t.Errorf("%s, the same %v later: told %+v", name, ago, e)
			}
		}
	}
	h.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 1})
	for _, beat := range []uint16{beat, other, 0, beat} {
		h.untold()
		e := told(beat)
		if e == nil {
			t.Fatalf("a beat of %d us is withheld as if it were the last one", beat)
		}
		h.Group.Withhold([2]int64{e.At, 0})
		h.untold()
		if e := told(beat); e != nil || h.Group.Heard()[0].Counter != number {
			t.Errorf("a beat of %d us again: told %+v, withheld %+v", beat, e, h.Group.Heard()[0])
		}
	}
}

// toldAgo makes the last event one of so long ago, and returns when that was.
func (h *Harness) toldAgo(ago time.Duration) int64 {
	h.T.Helper()
	var s object.BPFSeen
	if err := h.Plane.Objects.Seen.Lookup(h.Group.Slot(), &s); err != nil {
		h.T.Fatal(err)
	}
	s.ToldAt -= uint64(ago)
	if err := h.Plane.Objects.Seen.Put(h.Group.Slot(), s); err != nil {
		h.T.Fatal(err)
	}
	return int64(s.ToldAt)
}

// TestScratchBusy: an advert that interrupts another one on its CPU is left unread, counted, and known to the agent
// as such; it leaves the other one alone.
func TestScratchBusy(t *testing.T) {
	pin(t)
	h := NewHarness(t, DualVIPs()...)
	h.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 1})
	set := func(busy uint64) {
		t.Helper()
		cpus := make([]object.BPFScratch, ebpf.MustPossibleCPU())
		for i := range cpus {
			cpus[i].Busy = busy
			cpus[i].Advert[3] = 42
		}
		if err := h.Plane.Objects.Scratch.Put(uint32(0), cpus); err != nil {
			t.Fatal(err)
		}
	}
	c := DualAdvert(1, 0, 0, 7)
	set(1)
	for name, f := range map[string][]byte{"IPv4": FrameOf(c), "IPv6": frame6(c)} {
		h.Expect(name+" while busy", f, Want{Verdict: XDPPass, Counts: count("rate_limited")})
	}
	if s := h.Seen(); s.Count != 0 || s.LimitedAt == 0 {
		t.Errorf("seen %+v", s)
	}
	var cpus []object.BPFScratch
	if err := h.Plane.Objects.Scratch.Lookup(uint32(0), &cpus); err != nil {
		t.Fatal(err)
	}
	for i := range cpus {
		if cpus[i].Busy != 1 || cpus[i].Advert[3] != 42 {
			t.Errorf("the scratch of cpu %d was touched: %+v", i, cpus[i])
		}
	}
	set(0)
	for name, f := range map[string][]byte{
		"authentic": FrameOf(c),
		"refused":   FrameOf(damaged(c)),
		"VRRP":      Packet{Payload: vrrp2(1, 2)}.Bytes(),
		"short":     Packet{Payload: c.bytes()[:9]}.Bytes(),
	} {
		h.Run(f)
		if err := h.Plane.Objects.Scratch.Lookup(uint32(0), &cpus); err != nil {
			t.Fatal(err)
		}
		for i := range cpus {
			if cpus[i].Busy != 0 {
				t.Errorf("%s: busy afterwards", name)
			}
		}
	}
	if s := h.Seen(); s.Count != 1 {
		t.Errorf("seen %+v", s)
	}
}
