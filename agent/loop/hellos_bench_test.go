// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/view"
	"vipd/agent/wire"
	"vipd/loader"
)

// manyGroups are as many as one interface can have.
func manyGroups() []config.Group {
	var out []config.Group
	for vhid := 1; vhid <= 255; vhid++ {
		out = append(out, testGroup("eth0", uint8(vhid), fmt.Sprintf("198.51.100.%d/24", vhid)))
	}
	return out
}

// hellosOf returns what the kernel tells of one hello of a standby in each group.
func (b *bench) hellosOf(groups []*group) []loader.HelloEvent {
	var out []loader.HelloEvent
	for _, g := range groups {
		h := fw2()
		h.VHID, h.Addresses, h.Complete = g.cfg.VHID, g.cfg.Addrs(), true
		h.Demotions = []string{"link:eth1"}
		payload, err := h.AppendBinary(nil)
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, loader.HelloEvent{
			IfIndex: g.iface.link.Index, VHID: g.cfg.VHID, Slot: g.entry.plane.Slot(),
			Src: netip.MustParseAddr("192.0.2.12"), SrcMAC: [6]byte{2, 0, 0, 0, 0, 2}, Payload: payload,
		})
	}
	return out
}

// hearAll lets the loop hear a hello in each group, a period after the last ones.
func (b *bench) hearAll(all []loader.HelloEvent) {
	b.now += int64(view.HelloPeriod)
	for i := range all {
		all[i].At = b.now
		binary.BigEndian.PutUint64(all[i].Payload[8:], uint64(b.now))
	}
	b.hellos = append(b.hellos[:0], all...)
	b.noteHellos(election.Instant(b.now))
	b.greeter.answers = b.greeter.answers[:0]
}

// published counts the groups of which readers have another view than in shown, and notes what they have.
func (b *bench) published(shown map[*group]any) (n int) {
	for _, g := range b.groups.order {
		if last := any(g.shown.Last()); shown[g] != last {
			shown[g] = last
			n++
		}
	}
	return n
}

// BenchmarkHelloHeard is what a hello costs that says what the one before said.
func BenchmarkHelloHeard(b *testing.B) {
	bn := newBench(b, manyGroups()...)
	all := bn.hellosOf(bn.groups.order)
	bn.hearAll(all)
	bn.hearAll(all)
	shown := map[*group]any{}
	bn.published(shown)
	views, heard := 0, 0
	b.ReportAllocs()
	b.ResetTimer()
	for heard < b.N {
		bn.hearAll(all)
		heard += len(all)
		b.StopTimer()
		views += bn.published(shown)
		b.StartTimer()
	}
	b.ReportMetric(float64(views)/float64(heard), "views/op")
}

// BenchmarkHelloSaid is what a hello costs until it is handed to the sender.
func BenchmarkHelloSaid(b *testing.B) {
	bn := newBench(b, manyGroups()...)
	n := bn.View()
	to := netip.MustParseAddr("192.0.2.12")
	bn.Loop.sendAll = func([]netio.Frame) {}
	b.ReportAllocs()
	b.ResetTimer()
	for said := 0; said < b.N; {
		for _, g := range bn.groups.order[:batchSize] {
			src, err := g.iface.source(false)
			if err != nil {
				b.Fatal(err)
			}
			g.writeHello(n, src, &owed{to: to, mac: wire.VirtualMAC(g.cfg.VHID)}, false)
			said++
		}
		bn.post()
		bn.now += int64(time.Second)
	}
}

// TestHellosCostLittle: at 4,080 groups there are more than a thousand in a second. One that says what the one before
// said allocates nothing and gives readers no new view, but they see when it came; one that is sent allocates nothing.
func TestHellosCostLittle(t *testing.T) {
	b := newBench(t, manyGroups()...)
	all := b.hellosOf(b.groups.order)
	b.hearAll(all)
	b.hearAll(all)
	shown := map[*group]any{}
	b.published(shown)
	if n := testing.AllocsPerRun(10, func() { b.hearAll(all) }); n > 0 {
		t.Errorf("%v allocations for %d hellos heard", n, len(all))
	}
	if n := b.published(shown); n > 0 {
		t.Errorf("%d groups have a new view, and nothing is new", n)
	}
	for _, g := range b.groups.order {
		if list := g.shown.Live().Now().Peers; len(list) != 1 || int64(list[0].At()) != b.now {
			t.Fatalf("%s: peers %+v", g.name, list)
		}
	}
	all[7].Payload[26]++ // advbase
	b.hearAll(all)
	if n := b.published(shown); n != 1 {
		t.Errorf("%d groups have a new view after one hello that says something new", n)
	}

	node, to, sent := b.View(), netip.MustParseAddr("192.0.2.12"), 0
	b.Loop.sendAll = func(frames []netio.Frame) {
		for i := range frames {
			f, err := wire.ParseHelloFrame(frames[i].Data)
			if err != nil || int(f.Hello.VHID) != i+1 {
				t.Fatalf("frame %d: %+v, %v", i, f, err)
			}
			sent++
		}
	}
	say := func() {
		for _, g := range b.groups.order[:batchSize] {
			a := owed{to: to, mac: wire.VirtualMAC(g.cfg.VHID), every: view.HelloPeriod}
			g.writeHello(node, netip.MustParseAddr("192.0.2.11"), &a, false)
		}
		b.post()
	}
	if say(); sent != batchSize {
		t.Errorf("%d hellos of %d", sent, batchSize)
	}
	b.Loop.sendAll = func([]netio.Frame) {}
	if n := testing.AllocsPerRun(10, say); n > 0 {
		t.Errorf("%v allocations for %d hellos sent", n, batchSize)
	}
}
