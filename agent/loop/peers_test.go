// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/state/proven"
	"vipd/agent/wire"
	"vipd/loader"
)

// peersOf opens a store of a node whose data plane knows some peers.
func peersOf(t *testing.T, known *[]proven.Peer) *proven.Store {
	t.Helper()
	s := proven.Open(proven.Options{
		Path: filepath.Join(looseDir(t), "peers"), Log: slog.New(slog.DiscardHandler), Now: func() int64 { return 0 },
		Memory: func() time.Duration { return 0 }, Read: func() ([]proven.Peer, error) { return *known, nil },
	})
	s.Refresh()
	t.Cleanup(s.Leave)
	return s
}

// TestPeersOfEarlierTimes: the kernel knows them before the group's first advert is heard, after a new interface too.
func TestPeersOfEarlierTimes(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.12")
	s := peersOf(t, &[]proven.Peer{
		{Interface: "eth0", VHID: 1, Address: addr, Number: 7, At: 5},
		{Interface: "eth0", VHID: 2, Address: addr, Number: 9, At: 5},
	})
	b := newBenchAfter(t, earlier{peers: s}, testGroup("eth0", 1, "192.0.2.100/24"))
	want := "put peer 10@1 192.0.2.12 7"
	log := b.drain()
	if put := slices.Index(log, want); put < 0 || put < slices.Index(log, "plug 10@1") {
		t.Errorf("did %q, want %q after the group was added", log, want)
	}
	b.group("eth0@1").unplug(0)
	b.syncInterfaces()
	if log := b.drain(); !slices.Contains(log, want) {
		t.Errorf("after it was added again: %q", log)
	}
}

// TestNewPeersAreMet once, and only if they have proven themselves.
func TestNewPeersAreMet(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	g := b.group("eth0@1")
	hear := func(src string, proven bool) {
		b.now += second
		ev := b.advert("eth0@1", 100)
		ev.Src, ev.Proven, ev.Counter = netip.MustParseAddr(src), proven, uint64(b.now)
		b.ring = append(b.ring, ev)
		b.catchUp()
	}
	hear("192.0.2.13", false)
	hear("0.0.0.0", true)
	if len(g.hearing.met) != 0 {
		t.Errorf("met %v", g.hearing.met)
	}
	hear("192.0.2.12", true)
	hear("192.0.2.12", true)
	if len(g.hearing.met) != 1 {
		t.Errorf("met %v", g.hearing.met)
	}
}

// TestExpirePeers: a peer that the kernel has forgotten is noticed when it proves itself again.
func TestExpirePeers(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.12")
	old := proven.Peer{Interface: "eth0", VHID: 1, Address: addr, Number: 7, At: -5}
	heard := proven.Peer{Interface: "eth0", VHID: 2, Address: addr, Number: 7, At: second}
	gone := proven.Peer{Interface: "eth9", VHID: 1, Address: addr, Number: 7}
	s := peersOf(t, &[]proven.Peer{old, heard, gone})
	b := newBenchAfter(
		t,
		earlier{peers: s},
		testGroup("eth0", 1, "192.0.2.100/24"),
		testGroup("eth0", 2, "192.0.2.101/24"),
	)
	b.drain()
	if err := (Commands{b.Loop}).ExpirePeers([]proven.Peer{old, heard, gone}); err != nil {
		t.Error(err)
	}
	want := []string{"expire peer 10@1 192.0.2.12 0", "expire peer 10@2 192.0.2.12 1000000000"}
	if log := b.drain(); !slices.Equal(log, want) {
		t.Errorf("did %q, want %q", log, want)
	}
	if len(b.group("eth0@1").hearing.met) != 0 || len(b.group("eth0@2").hearing.met) != 1 {
		t.Error("what the kernel did is not noted")
	}
}

// TestForgetPeer: where it is known, and not where it is not.
func TestForgetPeer(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.12")
	known := []proven.Peer{
		{Interface: "eth0", VHID: 1, Address: addr, Number: 7},
		{Interface: "eth0", VHID: 2, Address: addr, Number: 7},
		{Interface: "eth9", VHID: 1, Address: addr, Number: 7}, // no longer in the config
	}
	s := peersOf(t, &known)
	b := newBenchAfter(t, earlier{peers: s}, testGroup("eth0", 1, "192.0.2.100/24"),
		testGroup("eth0", 2, "192.0.2.101/24"), testGroup("eth0", 3, "192.0.2.102/24"))
	b.drain()
	for _, tt := range []struct {
		ask  api.ForgetPeer
		code string
	}{
		{api.ForgetPeer{Address: "192.0.2.13"}, api.CodeNotFound},
		{api.ForgetPeer{Address: "192.0.2.12", Group: "eth0@3"}, api.CodeNotFound},
		{api.ForgetPeer{Address: "192.0.2.12", Group: "eth0@4"}, api.CodeNoSuchGroup},
	} {
		_, err := b.operator.ForgetPeer(t.Context(), tt.ask)
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != tt.code {
			t.Errorf("%+v: %v, want %s", tt.ask, err, tt.code)
		}
	}
	if log := b.drain(); len(log) > 0 {
		t.Errorf("refused, and did %q", log)
	}
	known = nil
	b.obey()
	got, err := b.operator.ForgetPeer(t.Context(), api.ForgetPeer{Address: "192.0.2.12", Group: "eth0@2"})
	if err != nil || !slices.Equal(got.Groups, []string{"eth0@2"}) || got.Message != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if log := b.drain(); !slices.Equal(log, []string{"forget peer 10@2 192.0.2.12"}) {
		t.Errorf("did %q", log)
	}
	got, err = b.operator.ForgetPeer(t.Context(), api.ForgetPeer{Address: "192.0.2.12"})
	if err != nil || !slices.Equal(got.Groups, []string{"eth0@1", "eth9@1"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if log := b.drain(); !slices.Equal(log, []string{"forget peer 10@1 192.0.2.12"}) {
		t.Errorf("did %q", log)
	}
	if g := b.group("eth0@1"); len(g.hearing.met) > 0 {
		t.Error("it will not be noticed when it proves itself again")
	}
	b.hello("eth0@3", "192.0.2.12", fw2())
	b.pass(0)
	shown := func() int { return len(b.group("eth0@3").shown.Live().Now().Peers) }
	if shown() != 1 {
		t.Fatal("its hello is not shown")
	}
	known = []proven.Peer{{Interface: "eth0", VHID: 3, Address: addr, Number: 7}}
	b.obey()
	if _, err := b.operator.ForgetPeer(t.Context(), api.ForgetPeer{Address: "192.0.2.12"}); err != nil || shown() != 0 {
		t.Errorf("%v; after it was forgotten %d peers are shown", err, shown())
	}
}

// TestAdvertsHaveTrailers: each frame has its own number, and a tag for its own source.
func TestAdvertsHaveTrailers(t *testing.T) {
	b := dualMasters(t, 4)
	key, err := wire.NewKey([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[uint64]bool{}
	b.sending = func(frames []netio.Frame) {
		for _, f := range frames {
			a := parse(t, f)
			if a.Trailer == nil || a.Trailer.Tag != key.TrailerKey().Tag(a.Src, a.Advert, *a.Trailer) {
				t.Errorf("vhid %d from %s: trailer %+v", a.Advert.VHID, a.Src, a.Trailer)
			}
			numbers[a.Advert.Counter] = true
		}
	}
	b.pass(time.Second)
	b.pass(time.Second) // the frames are used again
	if len(numbers) != 16 {
		t.Errorf("%d numbers in 16 adverts", len(numbers))
	}
	g := b.groups.order[0]
	p := g.machine.View().Compared
	target := g.speaking.reach.plan.Targets[0]
	fake := testing.AllocsPerRun(100, func() { g.entry.plane.RecordSent(0, [20]byte{}, loader.Priority{}) })
	if n := testing.AllocsPerRun(100, func() {
		o := &b.outbox
		o.frames, o.to = o.frames[:0], o.to[:0]
		if err := g.write(0, target, &election.SendAdvert{Priority: p}); err != nil {
			t.Error(err)
		}
	}); n > fake {
		t.Errorf("%v allocations per advert, %v of them by the test", n, fake)
	}
	b.outbox.frames, b.outbox.to = nil, nil
}

// TestNoRoomForAPeer: it is said once when it begins, once when it ends, and the operator can end it.
func TestNoRoomForAPeer(t *testing.T) {
	const full = "the kernel has no room to remember it"
	b := newBenchAfter(t, earlier{peers: peersOf(t, &[]proven.Peer{})}, testGroup("eth0", 1, "192.0.2.100/24"))
	var logged bytes.Buffer
	b.env.log = slog.New(slog.NewTextHandler(&logged, nil))
	g := b.group("eth0@1")
	missed := func() {
		g.entry.plane.(*fakeGroup).seen.NoRoomAt = b.now
		ev := b.vipdAdvert("eth0@1")
		ev.Src, ev.Counter = netip.MustParseAddr("192.0.2.13"), uint64(b.now)
		b.ring = append(b.ring, ev)
		b.pass(time.Second)
	}
	doubts := func() (list api.Peers, rule bool) {
		list, err := b.operator.Peers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list, len(list.NoRoom) > 0
	}
	if _, is := doubts(); is || strings.Contains(logged.String(), full) {
		t.Error("no room before a node came")
	}
	for range 3 {
		missed()
	}
	list, is := doubts()
	if !is || !slices.Equal(list.NoRoom, []string{"eth0@1"}) || strings.Count(logged.String(), full) != 1 {
		t.Errorf("%+v, log %s", list, logged.String())
	}
	b.obey()
	g.entry.plane.(*fakeGroup).stranger = netip.MustParseAddr("192.0.2.77")
	got, err := b.operator.ForgetPeer(t.Context(), api.ForgetPeer{Address: "192.0.2.77"})
	if err != nil || !slices.Equal(got.Groups, []string{"eth0@1"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, is := doubts(); is || strings.Count(logged.String(), "is remembered again") != 1 {
		t.Errorf("after it was forgotten: %s", logged.String())
	}
	missed()
	if _, is := doubts(); !is || strings.Count(logged.String(), full) != 2 {
		t.Errorf("another time: %s", logged.String())
	}
}

// TestMorePeersThanAreListed: the one that is left out gets no answer, is counted, and is spoken of once.
func TestMorePeersThanAreListed(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	var logged bytes.Buffer
	b.env.log = slog.New(slog.NewTextHandler(&logged, nil))
	b.master()
	from := netip.MustParseAddr("192.0.2.120")
	say := func(n int) {
		for i := range n {
			h := fw2()
			h.Node = fmt.Sprint("fw", i)
			b.hello("eth0@1", from.String(), h)
			from = from.Next()
		}
		b.pass(time.Second)
	}
	say(128)
	if v := b.shownOf("eth0@1"); len(v.Peers) != 128 || v.HasUnlisted(election.Instant(b.now)) {
		t.Fatalf("%d peers, more %v", len(v.Peers), v.HasUnlisted(election.Instant(b.now)))
	}
	b.reports = nil
	say(2)
	list, err := b.operator.Peers(t.Context())
	if err != nil || !slices.Equal(list.Unlisted, []string{"eth0@1"}) {
		t.Errorf("unlisted %v, %v", list.Unlisted, err)
	}
	if n := b.group("eth0@1").shown.Live().NotListed(); n != 2 || len(b.reports) != 0 {
		t.Errorf("%d counted, %d answers", n, len(b.reports))
	}
	if n := strings.Count(logged.String(), "a vipd node is not listed"); n != 1 {
		t.Errorf("said %d times", n)
	}
}
