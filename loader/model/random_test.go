// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"vipd/loader/object"
	"vipd/loader/tables"
)

// sequence is after how many frames groups, keys and everything kept are replaced.
const sequence = 500

// TestRandomFrames runs sequences of random frames, most of them close to ours, through the programs and the twin,
// while the agent writes roles, priorities and keys and time passes. Everything that a frame did is compared before the
// next. VIPD_FRAMES is how many (make fuzz-frames), VIPD_SEED starts with the sequence that failed.
func TestRandomFrames(t *testing.T) {
	pin(t)
	total := uint64(20_000)
	if testing.Short() { // on an emulated machine
		total = 2000
	}
	total = numberFrom(t, "VIPD_FRAMES", total)
	seed := numberFrom(t, "VIPD_SEED", rand.Uint64()>>1)
	x := newTwinned(t)
	hits := make(map[string]uint64)
	start := time.Now()
	n := uint64(0)
	for ; n*sequence < total || total >= 20_000 && n*sequence < 5*total && len(missing(x, hits)) > 0; n++ {
		if said := runSequence(x, seed+n, hits); said != "" {
			t.Fatalf("VIPD_SEED=%d (sequence %d): %s", seed+n, n, said)
		}
		if n%2000 == 1999 {
			t.Logf("%d frames, no difference, %s", (n+1)*sequence, time.Since(start).Round(time.Second))
		}
	}
	t.Logf("%d frames from seed %d in %s", n*sequence, seed, time.Since(start).Round(time.Millisecond))
	names := make([]string, 0, len(hits))
	for what := range hits {
		names = append(names, what)
	}
	slices.Sort(names)
	for _, what := range names {
		t.Logf("%10d %s", hits[what], what)
	}
	if lost := missing(x, hits); total >= 20_000 && len(lost) > 0 {
		t.Errorf("none of %d frames was any of %q: the witness is missing", n*sequence, lost)
	}
}

// missing lists the witnesses that no frame has been so far.
func missing(x *twinned, hits map[string]uint64) []string {
	for rule, times := range x.w.rules {
		hits["rule "+rule] = times
	}
	return slices.DeleteFunc(witnesses(), func(what string) bool { return hits[what] > 0 })
}

func numberFrom(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// witnesses lists what random frames must include: every verdict and every counter, of either family, with and without
// tags, and every flag of an event, set and not set.
func witnesses() (all []string) {
	for _, v := range []string{
		"xdp 1", "xdp 2", "xdp 3", "ingress 1", "ingress 2", "ingress 3", "egress 2", "egress -1", "egress rewritten nd",
	} {
		all = append(all, "verdict "+v)
	}
	for _, name := range slices.Concat(
		groupWords[:8],
		tables.RejectReasons(),
		contextNames[:4],
		vipWords[:],
		ifaceWords[:],
	) {
		if name != tables.TagsLost { // a test run always has room for them
			all = append(all, "counted "+name)
		}
	}
	for _, name := range tables.DropReasons() {
		all = append(all, "counted drop_"+name)
	}
	for _, name := range slices.Concat([]string{"received"}, tables.RejectReasons()) {
		all = append(all, "counted "+name+" over IPv4", "counted "+name+" over IPv6", "counted "+name+" tagged")
	}
	for _, tagged := range []string{
		"arp_replies", "arp_suppressed", "nd_advertisements", "nd_suppressed", "drop_not_answering_mac", "packets",
		"foreign_vrrp", "bad_vhid",
	} {
		all = append(all, "counted "+tagged+" tagged")
	}
	for _, flag := range eventFlags(&tables.Event{}) {
		all = append(all, fmt.Sprint("event ", flag.name, " true"), fmt.Sprint("event ", flag.name, " false"))
	}
	for _, rule := range []string{
		"trailer required", "bad tag", "stripped", "stripped, remembered", "stripped, ours", "stripped, forgotten",
		"another list", "old hello", "hello too soon", "number: ours", "number: nobody's, old", "number: nobody's, new",
		"number: unknown, old", "number: known, far below the group's", "number: unknown, new",
		"number: did not rise", "number: rose too slowly", "number: rose",
		"the same again, goes on true", "the same again, goes on false", "the same again, as OpenBSD", "rises",
		"behind, goes on true", "behind, goes on false", "far, never counted", "far, adopted", "far, in a burst",
		"far, jump 1", "far, jump 2", "far, jump 3", "far, jump 4",
	} {
		all = append(all, "rule "+rule)
	}
	for _, family := range familyNames {
		all = append(all, "rule withheld "+family)
	}
	for _, way := range []string{"over IPv4", "over IPv6", "tagged"} {
		all = append(all, "counted claims "+way)
	}
	return append(all, "claimed", "ring full", "told of a claim", "told of a hello", "no news")
}

type eventFlag struct {
	name string
	set  bool
}

func eventFlags(e *tables.Event) []eventFlag {
	return []eventFlag{
		{"yielded", e.Yielded},
		{"demote aware", e.DemoteAware},
		{"demote ever", e.DemoteEver},
		{"own counter", e.OwnCounter},
		{"proven", e.Proven},
		{"goodbye", isGoodbye(e.AdvBase, e.AdvSkew)},
	}
}

// note adds what a frame did to the witnesses.
func note(hits map[string]uint64, on side, f []byte, o *outcome) {
	hits[fmt.Sprintf("verdict %s %d", on, int32(o.verdict))]++
	way := " over IPv4"
	switch {
	case isTag(f[12:]):
		way = " tagged"
	case f[12] == 0x86:
		way = " over IPv6"
	}
	for c, n := range o.counts {
		hits["counted "+c.name] += n
		hits["counted "+c.name+way] += n
	}
	if on == onEgress && f[12] == 0x86 && len(f) >= 62 && !slices.Equal(f[54:], o.frame[54:]) {
		hits["verdict egress rewritten nd"]++
	}
	if o.event != nil {
		for _, flag := range eventFlags(o.event) {
			hits[fmt.Sprint("event ", flag.name, " ", flag.set)]++
		}
	}
	if o.claim != nil {
		hits["told of a claim"]++
	}
	if o.hello != nil {
		hits["told of a hello"]++
	}
	if g := o.group; g != nil && o.event == nil &&
		o.counts[twinCounter{g.named(), "received"}] > o.counts[twinCounter{g.named(), "events_lost"}] {
		hits["no news"]++
	}
	if on == onEgress && o.group != nil {
		hits["claimed"]++
	}
}

// runSequence returns what differed, with what led to it.
func runSequence(x *twinned, seed uint64, hits map[string]uint64) string {
	s := &randomWorld{Rand: rand.New(rand.NewPCG(seed, 0)), twinned: x}
	if seed%40 == 0 { // once in the frames of make test
		if err := s.fillRing(); err != nil {
			return err.Error()
		}
		hits["ring full"]++
	}
	s.history.on = seed%3 == 0
	if err := x.populate(s.specs()...); err != nil {
		return err.Error()
	}
	in := onXDP
	if s.IntN(4) == 0 {
		in = onIngress
	}
	for i := range sequence {
		if x.w.full && i == 200 {
			x.drain()
			x.w.full = false
		}
		for s.IntN(8) == 0 || i == 0 && s.IntN(4) != 0 {
			if err := s.act(); err != nil {
				return err.Error()
			}
		}
		f := s.frameFor()
		sides := []side{in}
		if s.outgoing || s.IntN(4) == 0 {
			sides = []side{onEgress, in}
		}
		for _, on := range sides {
			if !on.takes(f) {
				continue
			}
			o, said := x.frame(on, f)
			if said != "" {
				return fmt.Sprintf("frame %d, after %v: %s", i, s.acts, said)
			}
			note(hits, on, f, &o)
			if o.event != nil && s.IntN(2) == 0 {
				s.reads(o.group, o.event)
			}
		}
	}
	return x.sourcesDiffer()
}

// eventHeader precedes each event in the ring.
const eventHeader = 8

// fillRing fills the ring with events.
func (s *randomWorld) fillRing() error {
	if err := s.populate(GoldenSpec(DualVIPs()...)); err != nil {
		return err
	}
	for range int(s.Plane.Objects.Events.MaxEntries())/(int(unsafe.Sizeof(object.BPFEvent{}))+eventHeader) + 1 {
		if err := Untold(s.Plane.Objects, s.Group.Slot()); err != nil {
			return err
		}
		if _, err := s.Plane.Objects.VipdXdp.Run(&ebpf.RunOptions{Data: FrameOf(DualAdvert(1, 0, 0, 7))}); err != nil {
			return err
		}
	}
	st, err := s.Group.Stats()
	if err != nil {
		return err
	}
	if st.EventsLost == 0 {
		return fmt.Errorf("the ring took all of %d events", st.Received)
	}
	s.w.full = true
	return nil
}
