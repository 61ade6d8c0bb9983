// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"fmt"
	"maps"

	"github.com/cilium/ebpf"

	"vipd/loader/internal/kerneltest"
	"vipd/loader/object"
)

// side is one of the three programs.
type side int

const (
	onXDP side = iota
	onIngress
	onEgress
)

func (s side) String() string { return [...]string{"xdp", "ingress", "egress"}[s] }

// takes reports whether a test run accepts the frame: except for XDP it needs a whole IP header.
func (s side) takes(f []byte) bool {
	if s == onXDP {
		return len(f) >= 14
	}
	switch {
	case f[12] == 8 && f[13] == 0:
		return len(f) >= 34
	case f[12] == 0x86 && f[13] == 0xdd:
		return len(f) >= 54
	}
	return len(f) >= 15
}

// staleness bounds the age of the time that is read once a tick, on a busy machine.
const staleness = 100e6

// observed is what the kernel did.
type observed struct {
	outcome
	memories map[uint8]twinMemory
	from, to int64 // when
	exact    bool  // from is the very time that the program read
}

// frame runs a frame through the program and the twin, and describes every difference: verdict, bytes, counters,
// events, seen entries, budgets and what is known about the source. The twin continues from there.
func (x *twinned) frame(on side, f []byte) (outcome, string) {
	got, err := x.observe(on, f)
	if err != nil {
		return outcome{}, err.Error()
	}
	judge := [...]func([]byte, twinClock) outcome{x.w.xdp, x.w.ingress, x.w.egress}[on]
	said := ""
	for _, c := range x.clocks(got) {
		o := judge(f, c)
		d := x.differs(&o, got)
		if d == "" {
			return x.adopt(o, got), ""
		}
		if said == "" {
			said = d
		}
	}
	return outcome{}, fmt.Sprintf("%s: %s\nframe %x\nbefore, at %d: %s", on, said, f, got.from, x.w.told())
}

// clocks returns the readings that the program may have used: first the most likely one, then those at which the time
// that is read once a tick decides otherwise.
func (x *twinned) clocks(got observed) []twinClock {
	all := []twinClock{{got.from, got.from}, {got.to, got.to}}
	recent := []int64{got.from - staleness}
	for vhid, g := range x.w.groups {
		m := got.memories[vhid]
		for class, spent := range m.spent { // so much was paid for: the clock has come to there, and not a digest further
			if spent != g.spent[class] && spent > got.from && spent < got.to {
				all = append(all, twinClock{spent, spent})
			}
		}
		if is := m.limited; is != g.limited { // that was it, once a tick or just then
			all = append(all, twinClock{got.from, is}, twinClock{got.to, is})
			if is > got.from {
				all = append(all, twinClock{is, is})
			}
			return all
		}
		if g.limited > 0 {
			recent = append(recent, g.limited+1e6, g.limited)
		}
		recent = append(recent, g.last.At)
	}
	for _, at := range recent {
		if at >= got.from-staleness && at < got.from {
			all = append(all, twinClock{got.from, at}, twinClock{got.to, at})
		}
	}
	return all
}

func (x *twinned) observe(on side, f []byte) (got observed, err error) {
	run := ebpf.RunOptions{Data: f, DataOut: make([]byte, len(f)+64)}
	prog := x.Plane.Objects.VipdXdp
	switch on {
	case onIngress:
		prog = kerneltest.Must(x.Plane.Objects.Ingress())
	case onEgress:
		prog = x.Plane.Objects.VipdEgress
	case onXDP:
	}
	got.from = BootNow()
	if got.verdict, err = prog.Run(&run); err != nil {
		return got, fmt.Errorf("run %s with %x: %w", on, f, err)
	}
	got.to = BootNow()
	got.frame = run.DataOut
	if on == onIngress {
		v, ok := map[uint32]uint32{tcShot: xdpDrop, tcRedirect: XDPTX, TCUnspec: XDPPass}[got.verdict]
		if !ok {
			return got, fmt.Errorf("tc verdict %d", got.verdict)
		}
		got.verdict = v
	}
	if got.counts, err = x.rose(); err != nil {
		return got, err
	}
	if got.memories, err = x.memories(); err != nil {
		return got, err
	}
	if !x.w.full {
		evs := x.drain()
		if len(evs) > 1 {
			return got, fmt.Errorf("%d events: %+v", len(evs), evs)
		}
		if len(evs) == 1 {
			got.event = &evs[0]
		}
		claims := x.Plane.Claims(nil)
		if len(claims) > 1 {
			return got, fmt.Errorf("%d claims: %+v", len(claims), claims)
		}
		if len(claims) == 1 {
			got.claim = &claims[0]
		}
		if hellos := x.Plane.Hellos(nil); len(hellos) == 1 {
			got.hello = &hellos[0]
		} else if len(hellos) > 1 {
			return got, fmt.Errorf("%d hellos: %+v", len(hellos), hellos)
		}
	}
	for vhid, m := range got.memories { // an advert that counts tells the time
		if was := x.w.groups[vhid]; m.heard != was.heard {
			if m.last.At < got.from || m.last.At > got.to {
				return got, fmt.Errorf("received at %d, run from %d to %d", m.last.At, got.from, got.to)
			}
			got.from, got.to, got.exact = m.last.At, m.last.At, true
		}
	}
	return got, nil
}

// differs describes how the kernel differs from the twin.
func (x *twinned) differs(o *outcome, got observed) string {
	switch {
	case o.verdict != got.verdict:
		return fmt.Sprintf("verdict %d, want %d (%v)", int32(got.verdict), int32(o.verdict), o.counts)
	case !bytes.Equal(o.frame, got.frame):
		return fmt.Sprintf("leaves as\n%x, want\n%x", got.frame, o.frame)
	case !maps.Equal(o.counts, got.counts):
		return fmt.Sprintf("counted %v, want %v", got.counts, o.counts)
	case (o.event == nil) != (got.event == nil), o.event != nil && *o.event != *got.event:
		return fmt.Sprintf("event %+v, want %+v", got.event, o.event)
	}
	if d := x.claimDiffers(o, got); d != "" {
		return d
	}
	if d := x.helloDiffers(o, got); d != "" {
		return d
	}
	for vhid, g := range x.w.groups {
		want := g.twinMemory
		if o.group == g {
			want = o.after
		}
		if d := g.differs(want, got.memories[vhid], got.from, got.to); d != "" {
			return fmt.Sprintf("vhid %d: %s", vhid, d)
		}
	}
	return x.peerDiffers(o, got)
}

// differs compares what was became (is), between from and to, with what it should have become (want), to within the
// clock.
func (was twinMemory) differs(want, is twinMemory, from, to int64) string {
	slack := to - from
	if want.limited != was.limited && is.limited >= from-staleness && is.limited <= to {
		want.limited = is.limited
	}
	for class := range costs {
		cost := costs[class][0]
		d := is.spent[class] - want.spent[class]
		saved := want.spent[class]-cost > was.spent[class] // then it goes by the clock how much
		if want.spent[class] != was.spent[class] && saved && d >= -slack && d <= slack {
			want.spent[class] = is.spent[class]
		}
	}
	if want != is {
		return fmt.Sprintf("memory\n%+v, want\n%+v, was\n%+v", is, want, was)
	}
	return ""
}

// claimDiffers compares claims: one is reported unless another one for the address came in the last tenth of a second.
func (x *twinned) claimDiffers(o *outcome, got observed) string {
	switch {
	case got.claim == nil && o.claim == nil:
		return ""
	case got.claim == nil:
		if last, ok := x.claimed[o.claim.Addr]; x.w.full || ok && got.from-last < 100e6+staleness {
			return ""
		}
		return fmt.Sprintf("no claim, want %+v", o.claim)
	case o.claim == nil || got.claim.Count == 0 || got.claim.At < got.from || got.claim.At > got.to:
		return fmt.Sprintf("claim %+v between %d and %d, want %+v", got.claim, got.from, got.to, o.claim)
	}
	want := *o.claim
	want.At, want.Count = got.claim.At, got.claim.Count
	if want != *got.claim {
		return fmt.Sprintf("claim %+v, want %+v", *got.claim, want)
	}
	return ""
}

func (x *twinned) peerDiffers(o *outcome, got observed) string {
	if o.peer != nil {
		is, known, err := x.peer(o.group, o.src)
		if err != nil || !known {
			return fmt.Sprintf("nothing is known of %s: %v", o.src, err)
		}
		want := *o.peer
		if was := o.group.peers[o.src]; want.jumped != was.jumped && is.jumped >= got.from && is.jumped <= got.to {
			want.jumped = is.jumped
		}
		if is != want {
			return fmt.Sprintf("known of %s\n%+v, want\n%+v, was\n%+v", o.src, is, want, o.group.peers[o.src])
		}
	}
	if o.proven != nil {
		is, known, err := x.provenPeer(o.group, o.src)
		want, was := *o.proven, o.group.proven[o.src]
		if want.helloAt != was.helloAt && is.helloAt >= got.from && is.helloAt <= got.to {
			want.helloAt = is.helloAt
			if want.at != was.at && want.number == want.hello { // it came with the hello
				want.at = is.at
			}
		}
		if read := is.at >= got.from && is.at <= got.to; read && o.spent {
			want.at, want.pace = is.at, want.number
			if _, met := o.group.proven[o.src]; met {
				want.pace = max(want.number, was.expected(is.at))
			}
			if want.told != was.told {
				want.told = is.at
			}
		}
		if err != nil || !known || is != want {
			return fmt.Sprintf("proven by %s\n%+v, want\n%+v, was\n%+v (%v)", o.src, is, want, was, err)
		}
	}
	return ""
}

// adopt lets the twin continue with the kernel's own readings of the clock.
func (x *twinned) adopt(o outcome, got observed) outcome {
	o.commit()
	if got.claim != nil {
		x.claimed[got.claim.Addr] = got.claim.At
	}
	if o.proven != nil {
		if p, _, err := x.provenPeer(o.group, o.src); err == nil {
			o.group.proven[o.src] = p
		}
	}
	if o.group != nil {
		o.group.twinMemory = got.memories[o.group.VHID]
	}
	if o.peer != nil {
		if p, _, err := x.peer(o.group, o.src); err == nil {
			o.group.peers[o.src] = p
		}
	}
	return o
}

// sourcesDiffer compares everything that is known about sources with the twin: no more and no less.
func (x *twinned) sourcesDiffer() string {
	maps := x.Plane.Objects
	n, m := len(x.keys(maps.Sources)), len(x.keys(maps.Peers))
	for vhid, g := range x.w.groups {
		n -= len(g.peers)
		for src, want := range g.peers {
			if is, known, err := x.peer(g, src); err != nil || !known || is != want {
				return fmt.Sprintf("vhid %d: known of %s: %+v, want %+v (%v)", vhid, src, is, want, err)
			}
		}
		m -= len(g.proven)
		for src, want := range g.proven {
			if is, known, err := x.provenPeer(g, src); err != nil || !known || is != want {
				return fmt.Sprintf("vhid %d: proven by %s: %+v, want %+v (%v)", vhid, src, is, want, err)
			}
		}
	}
	if n != 0 || m != 0 {
		return fmt.Sprintf("%d sources and %d peers more than were heard", n, m)
	}
	return ""
}

// keys returns the senders in a map.
func (x *twinned) keys(m *ebpf.Map) (keys []object.BPFSourceKey) {
	x.T.Helper()
	var key object.BPFSourceKey
	val := make([]byte, m.ValueSize())
	it := m.Iterate()
	for it.Next(&key, &val) {
		keys = append(keys, key)
	}
	if err := it.Err(); err != nil {
		x.T.Fatal(err)
	}
	return keys
}

// told describes the state of the world.
func (w *twinWorld) told() (s string) {
	for vhid, g := range w.groups {
		s += fmt.Sprintf(
			"\nvhid %d: role %+v, sent %v, numbers %d %d, sources %v, %+v, peers %+v, proven %+v",
			vhid,
			g.role,
			g.sent,
			g.number,
			g.sentNow,
			g.sources,
			g.twinMemory,
			g.peers,
			g.proven,
		)
	}
	return s
}
