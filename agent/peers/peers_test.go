// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/view"
	"vipd/agent/wire"
)

const (
	start  = election.Instant(1000 * time.Second)
	second = time.Second
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func payload(t *testing.T, h wire.Hello) []byte {
	t.Helper()
	b, err := h.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// note has the book hear of h, and reports whether that is news.
func note(t *testing.T, b *Book, from string, at election.Instant, h wire.Hello) bool {
	t.Helper()
	return noteFrom(t, b, from, macOf(h.Node), at, h)
}

// macOf is the MAC of a node.
func macOf(name string) (mac [6]byte) {
	copy(mac[1:], name)
	return mac
}

func noteFrom(t *testing.T, b *Book, from string, mac [6]byte, at election.Instant, h wire.Hello) bool {
	t.Helper()
	p, news, err := b.Note(addr(from), mac, at, payload(t, h), voiceOf(b, addr(from)))
	if err != nil || p.Addr != addr(from) {
		t.Fatal(p, err)
	}
	return news
}

// voiceOf returns the voice that the book knows, or a new one.
func voiceOf(b *Book, from netip.Addr) *view.Voice {
	if i, known := b.find(from); known {
		return b.entries[i].Voice()
	}
	return &view.Voice{}
}

func standbyHello(name string) wire.Hello {
	return wire.Hello{
		VHID: 1, Number: 1, State: wire.HelloBackup, AdvBase: 1, AdvSkew: 100, EffectiveAdvBase: 1, EffectiveAdvSkew: 100,
		TakesOverIn: 3390 * time.Millisecond, Node: name, Version: "1", Addresses: []netip.Addr{addr("192.0.2.1")},
		Complete: true,
	}
}

func names(list []view.Peer) string {
	out := make([]string, 0, len(list))
	for i := range list {
		out = append(out, list[i].Hello.Node)
	}
	return strings.Join(out, " ")
}

func TestBook(t *testing.T) {
	var b Book
	if b.Peers() != nil || b.Expire(start) || b.Answer(addr("192.0.2.2"), start) {
		t.Error("an empty book knows somebody")
	}
	h := standbyHello("fw2")
	if !note(t, &b, "192.0.2.3", start, standbyHello("fw3")) || !note(t, &b, "192.0.2.2", start, h) {
		t.Error("a new peer is no news")
	}
	first := b.Peers()
	if names(first) != "fw2 fw3" {
		t.Errorf("not sorted by address: %s", names(first))
	}
	h.Number++
	if note(t, &b, "192.0.2.2", start.Add(3*second), h) {
		t.Error("a repetition is news")
	}
	if now := b.Peers(); &now[0] != &first[0] || first[0].At() != start.Add(3*second) {
		t.Errorf("now %+v, before %+v, heard at %d", now[0], first[0], first[0].At())
	}
	h.Demotion, h.Demotions = 240, []string{"maintenance"}
	if !note(t, &b, "192.0.2.2", start.Add(4*second), h) || b.Peers()[0].Hello.Demotion != 240 {
		t.Error("a demotion is no news")
	}
	h.Demotion = 0
	if note(t, &b, "192.0.2.2", start.Add(2*second), h) || b.Peers()[0].Hello.Demotion != 240 {
		t.Error("an older hello replaces a newer one")
	}
	half, fw2 := []byte{0xf1, 1}, addr("192.0.2.2")
	if _, news, err := b.Note(fw2, macOf("fw2"), start.Add(5*second), half, voiceOf(&b, fw2)); err == nil || news {
		t.Error("half a hello is noted")
	}
}

func TestForget(t *testing.T) {
	var b Book
	note(t, &b, "192.0.2.2", start, standbyHello("fw2"))
	note(t, &b, "192.0.2.3", start.Add(second), standbyHello("fw3"))
	if names(b.Peers()) != "fw2 fw3" {
		t.Fatalf("peers %s", names(b.Peers()))
	}
	if b.Forget(addr("192.0.2.4")) || !b.Forget(addr("192.0.2.2")) || b.Forget(addr("192.0.2.2")) {
		t.Error("what is known is not what is forgotten")
	}
	if names(b.Peers()) != "fw3" || b.Expire(start.Add(view.PeerKept+1)) {
		t.Errorf("left are %s", names(b.Peers()))
	}
}

func TestSilentPeersAreForgotten(t *testing.T) {
	var b Book
	note(t, &b, "192.0.2.2", start, standbyHello("fw2"))
	note(t, &b, "192.0.2.3", start.Add(second), standbyHello("fw3"))
	if b.Expire(start.Add(view.PeerKept)) || len(b.Peers()) != 2 {
		t.Error("forgotten too early")
	}
	if !b.Expire(start.Add(view.PeerKept+1)) || names(b.Peers()) != "fw3" {
		t.Errorf("after ten minutes: %s", names(b.Peers()))
	}
	note(t, &b, "192.0.2.3", start.Add(view.PeerKept), standbyHello("fw3"))
	if b.Expire(start.Add(view.PeerKept+2*second)) || names(b.Peers()) != "fw3" {
		t.Error("one that speaks is forgotten")
	}
	if !b.Expire(start.Add(3*view.PeerKept)) || b.Peers() != nil {
		t.Error("the last one is not forgotten")
	}
}

// TestOtherFamily: a node reports in one family at a time.
func TestOtherFamily(t *testing.T) {
	var b Book
	note(t, &b, "192.0.2.2", start, standbyHello("fw2"))
	note(t, &b, "192.0.2.3", start, standbyHello("fw3"))
	note(t, &b, "fe80::2", start.Add(second), standbyHello("fw2"))
	if list := b.Peers(); names(list) != "fw3 fw2" || !list[1].Addr.Is6() {
		t.Errorf("over IPv6: %+v", list)
	}
}

// TestTwoNodesOfOneName: each has its entry, whatever family they report in, and both addresses are named.
func TestTwoNodesOfOneName(t *testing.T) {
	var b Book
	clone := [6]byte{2, 9}
	both := func(theirs string, now election.Instant) {
		t.Helper()
		note(t, &b, "192.0.2.2", now, standbyHello("fw2"))
		noteFrom(t, &b, theirs, clone, now, standbyHello("fw2"))
		note(t, &b, "192.0.2.3", now, standbyHello("fw3"))
	}
	same := func(i int, now election.Instant) []Difference {
		list := b.Peers()
		return SameName("fw1", &list[i], list, now)
	}
	for _, theirs := range []string{"fe80::4", "192.0.2.4"} {
		b = Book{}
		for i := range 3 { // neither removes the other
			both(theirs, start.Add(time.Duration(i)*second))
		}
		now := start.Add(2 * second)
		list := b.Peers()
		if len(list) != 3 || strings.Count(names(list), "fw2") != 2 {
			t.Fatalf("with %s: %s", theirs, names(list))
		}
		for i := range list {
			got := same(i, now)
			if list[i].Hello.Node == "fw3" {
				if got != nil {
					t.Errorf("fw3: %v", got)
				}
				continue
			}
			if len(got) != 1 || got[0].What != NodeName || !strings.Contains(got[0].Text, "192.0.2.2, "+theirs+" ") {
				t.Errorf("%s: %v", list[i].Addr, got)
			}
			if mine := SameName("fw2", &list[i], list, now); len(mine) != 1 ||
				!strings.Contains(mine[0].Text, list[i].Addr.String()+" is named fw2 like this one") {
				t.Errorf("%s, as this node: %v", list[i].Addr, mine)
			}
			if got := same(i, now.Add(view.PeerFresh)); got != nil {
				t.Errorf("%s, silent: %v", list[i].Addr, got)
			}
		}
	}
	// One whose address changed is one node.
	b = Book{}
	note(t, &b, "192.0.2.2", start, standbyHello("fw2"))
	note(t, &b, "192.0.2.4", start, standbyHello("fw2"))
	if got := same(0, start); got != nil {
		t.Errorf("one node with two addresses: %v", got)
	}
}

// TestBookIsBounded: a peer that no longer reports makes room, and one that does is not replaced.
func TestBookIsBounded(t *testing.T) {
	var b Book
	a := addr("192.0.2.1")
	for i := range maxPeers {
		note(t, &b, a.String(), start.Add(time.Duration(i)), standbyHello(fmt.Sprint(i)))
		a = a.Next()
	}
	soon, late := start.Add(view.PeerFresh-1), payload(t, standbyHello("late"))
	if _, news, err := b.Note(a, macOf("late"), soon, late, &view.Voice{}); !errors.Is(err, ErrFull) || news {
		t.Errorf("one more of %d that report: news %v, %v", maxPeers, news, err)
	}
	if list := b.Peers(); len(list) != maxPeers || list[0].Hello.Node != "0" || b.Answer(a, soon) {
		t.Errorf("%d peers, the first is %s", len(list), list[0].Hello.Node)
	}
	note(t, &b, a.String(), start.Add(view.PeerFresh), standbyHello("late"))
	if list := b.Peers(); len(list) != maxPeers || list[0].Hello.Node != "1" || list[maxPeers-1].Hello.Node != "late" {
		t.Errorf("%d peers, the first is %s", len(list), list[0].Hello.Node)
	}
}

func TestAnswersAreASecondApart(t *testing.T) {
	var b Book
	note(t, &b, "192.0.2.2", start, standbyHello("fw2"))
	at := start
	answered := 0
	for range 100 { // in 10 s
		if b.Answer(addr("192.0.2.2"), at) {
			answered++
		}
		at = at.Add(second / 10)
		note(t, &b, "192.0.2.2", at, standbyHello("fw2"))
	}
	if answered < 10 || answered > 12 {
		t.Errorf("%d answers in 10 s", answered)
	}
}

func TestDue(t *testing.T) {
	const third, minute = Phase(1<<32/3 + 1), 60 * second
	for _, c := range []struct {
		name      string
		last, now time.Duration
		changed   bool
		phase     Phase
		period    time.Duration
		want      time.Duration
	}{
		{"the first one", 0, 100 * second, false, third, 3 * second, 100 * second},
		{"a change", 100 * second, 105 * second, true, 0, 3 * second, 105 * second},
		{"a change too soon", 100 * second, 100*second + 1, true, 0, 3 * second, 101 * second},
		{"regular, on time", 100 * second, 100 * second, false, third, 3 * second, 103 * second},
		{"regular, after a delay", 100*second + 1, 100*second + 1, false, third, 3 * second, 103 * second},
		{"regular, after a change", 101 * second, 101 * second, false, third, 3 * second, 103 * second},
		{"regular, the phase is too near", 102*second + 1, 102*second + 1, false, third, 3 * second, 106 * second},
		{"overdue", 100 * second, 200 * second, false, third, 3 * second, 103 * second},
		{"rare, on time", 20 * second, 20 * second, false, third, minute, 80 * second},
		{"rare, from now on", 100 * second, 100 * second, false, third, minute, 140 * second},
		{"rare, a change", 100 * second, 105 * second, true, third, minute, 105 * second},
	} {
		got := Due(election.Instant(c.last), election.Instant(c.now), c.changed, c.phase, c.period)
		if got != election.Instant(c.want) {
			t.Errorf("%s: due at %v, want %v", c.name, time.Duration(got), c.want)
		}
	}
}

// TestPeriod: however many groups of an interface report to a MASTER, no more than 16 do so in 3 s.
func TestPeriod(t *testing.T) {
	for groups, want := range map[int]time.Duration{
		0: 3, 1: 3, 16: 3, 17: 6, 32: 6, 33: 12, 64: 12, 65: 24, 128: 24, 129: 48, 255: 48,
	} {
		if got := Period(groups); got != want*second {
			t.Errorf("%d groups: every %v, want %v", groups, got, want*second)
		}
	}
}

// TestFreshBesideOtherGroups: a group that reports rarely counts for as long as it states, and while the node says
// anything.
func TestFreshBesideOtherGroups(t *testing.T) {
	var voices Voices
	var rare, often Book
	from := addr("192.0.2.2")
	say := func(b *Book, at election.Instant, every time.Duration) {
		t.Helper()
		h := standbyHello("fw2")
		h.Every = every
		if _, _, err := b.Note(from, macOf("fw2"), at, payload(t, h), voices.Of(from, at)); err != nil {
			t.Fatal(err)
		}
	}
	fresh := func(at time.Duration) bool { return len(Standbys(rare.Peers(), start.Add(at))) == 1 }
	say(&rare, start, 48*second)
	if !fresh(10*second-1) || fresh(10*second) {
		t.Error("alone it has to count for 10 s")
	}
	for at := 3 * second; at <= 144*second; at += 3 * second {
		if say(&often, start.Add(at), 3*second); !fresh(at) {
			t.Fatalf("not fresh after %v, beside another group", at)
		}
	}
	if !fresh(145*second-1) || fresh(145*second) {
		t.Error("it has to count until it has missed three hellos")
	}
	say(&rare, start.Add(146*second), 48*second)
	if !fresh(156*second-1) || fresh(156*second) {
		t.Error("a node that says nothing any more has to count for 10 s")
	}
	// Its place was taken by others meanwhile, and it comes back: what readers have must follow the new voice.
	back := start.Add(146*second + view.PeerKept + 1)
	voices.Of(addr("192.0.2.3"), back)
	say(&rare, back, 48*second)
	if say(&often, back.Add(9*second), 3*second); len(Standbys(rare.Peers(), back.Add(18*second))) != 1 {
		t.Error("after a long silence its voice is not heard")
	}
}

// TestRestarted: another process of a node is known by its run, the first one is none, and a node that states none
// never restarts.
func TestRestarted(t *testing.T) {
	var v Voices
	a, b := addr("192.0.2.2"), addr("192.0.2.3")
	if v.Restarted(a, 1) {
		t.Error("a node that was never heard was started again")
	}
	v.Of(a, 1)
	v.Of(b, 1)
	for i, c := range []struct {
		from netip.Addr
		run  uint8
		want bool
	}{
		{a, 0, false},
		{a, 7, false},
		{b, 9, false},
		{a, 7, false},
		{a, 0, false},
		{a, 7, false},
		{a, 8, true},
		{a, 8, false},
		{b, 9, false},
		{a, 7, true},
	} {
		if got := v.Restarted(c.from, c.run); got != c.want {
			t.Errorf("%d: run %d of %s: %v", i, c.run, c.from, got)
		}
	}
}

// TestPhasesSpread: in each tenth of the period a tenth of the hellos, of many groups as of many nodes.
func TestPhasesSpread(t *testing.T) {
	const n = 4096
	for name, phase := range map[string]func(i int) Phase{
		"groups": func(i int) Phase { return PhaseOf("fw1", fmt.Sprintf("eth0.%d@%d", i/255, i%255+1)) },
		"nodes":  func(i int) Phase { return PhaseOf(fmt.Sprintf("fw%d", i), "eth0@1") },
	} {
		var tenths [10]int
		for i := range n {
			tenths[phase(i).of(48*second)*10/(48*second)]++
		}
		if low, high := slices.Min(tenths[:]), slices.Max(tenths[:]); low < n/13 || high > n/8 {
			t.Errorf("%s: %v", name, tenths)
		}
	}
}

func TestStandbys(t *testing.T) {
	change := func(name string, f func(*wire.Hello)) wire.Hello {
		h := standbyHello(name)
		f(&h)
		return h
	}
	var b Book
	for i, h := range []wire.Hello{
		standbyHello("second"),
		change("first", func(h *wire.Hello) { h.TakesOverIn = 3 * second }),
		change("demoted", func(h *wire.Hello) { h.EffectiveAdvSkew = 240 }),
		change("master", func(h *wire.Hello) { h.State, h.TakesOverIn = wire.HelloMaster, 0 }),
		change("disabled", func(h *wire.Hello) { h.Disabled = true }),
		change("init", func(h *wire.Hello) { h.State, h.TakesOverIn = wire.HelloInit, wire.NeverTakesOver }),
		change("never", func(h *wire.Hello) { h.TakesOverIn = wire.NeverTakesOver }),
	} {
		note(t, &b, fmt.Sprintf("192.0.2.%d", 20-i), start, h)
	}
	standbys := func(at election.Instant) string {
		var out []string
		for _, p := range Standbys(b.Peers(), at) {
			out = append(out, p.Hello.Node)
		}
		return strings.Join(out, " ")
	}
	if got := standbys(start); got != "first second demoted" {
		t.Errorf("standbys: %s", got)
	}
	// One that hangs, or is dead, says nothing more.
	note(t, &b, "192.0.2.20", start.Add(view.PeerFresh), standbyHello("second"))
	if got := standbys(start.Add(view.PeerFresh - 1)); got != "first second demoted" {
		t.Errorf("just before ten seconds of silence: %s", got)
	}
	if got := standbys(start.Add(view.PeerFresh)); got != "second" {
		t.Errorf("after ten seconds of silence: %s", got)
	}
}

func TestDifferences(t *testing.T) {
	ours := standbyHello("fw1")
	ours.Addresses = []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")}
	ours.List, ours.Key, ours.Preempt = wire.ListFingerprint(ours.Addresses), 7, true
	same := ours
	same.Node, same.AdvSkew, same.State = "fw2", 0, wire.HelloMaster
	if got := Differences(&ours, &same); got != nil {
		t.Errorf("two nodes of one config: %v", got)
	}
	list := func(h *wire.Hello, complete bool, addrs ...string) {
		h.Addresses, h.Complete = nil, complete
		for _, a := range addrs {
			h.Addresses = append(h.Addresses, addr(a))
		}
		h.List = wire.ListFingerprint(h.Addresses)
	}
	for _, c := range []struct {
		name   string
		change func(h *wire.Hello)
		what   string
		says   []string
	}{
		{
			"an address more", func(h *wire.Hello) { list(h, true, "192.0.2.1", "2001:db8::1", "192.0.2.9") },
			Addresses,
			[]string{"only fw2 has 192.0.2.9"},
		},
		{
			"an address less", func(h *wire.Hello) { list(h, true, "2001:db8::1") },
			Addresses,
			[]string{"only this node has 192.0.2.1"},
		},
		{
			"another address", func(h *wire.Hello) { list(h, true, "192.0.2.1", "2001:db8::2") },
			Addresses,
			[]string{"only fw2 has 2001:db8::2", "only this node has 2001:db8::1"},
		},
		{
			"a part of the list", func(h *wire.Hello) { list(h, false, "192.0.2.1") },
			Addresses,
			[]string{"fw2 differ"},
		},
		{"key", func(h *wire.Hello) { h.Key = 8 }, Password, []string{"fw2 signs with another"}},
		{"advbase", func(h *wire.Hello) { h.AdvBase = 2 }, AdvBase, []string{"1 here and 2 on fw2"}},
		{"beat", func(h *wire.Hello) { h.Beat = 1500 }, Beat, []string{"0s here and 1.5ms on fw2"}},
		{"preempt", func(h *wire.Hello) { h.Preempt = false }, Preempt, []string{"true here and false on fw2"}},
		{"version", func(h *wire.Hello) { h.Version = "2" }, Version, []string{"vipd 1 and fw2 runs 2"}},
	} {
		theirs := same
		c.change(&theirs)
		got := Differences(&ours, &theirs)
		if len(got) != 1 || got[0].What != c.what {
			t.Errorf("%s: %v", c.name, got)
			continue
		}
		for _, want := range c.says {
			if !strings.Contains(got[0].Text, want) {
				t.Errorf("%s: %q does not say %q", c.name, got[0].Text, want)
			}
		}
	}
	theirs := same
	theirs.Maintenance = true
	if got := Differences(&ours, &theirs); got != nil {
		t.Errorf("maintenance of one node: %v", got)
	}
	ours.Maintenance = true
	if got := Differences(&ours, &theirs); len(got) != 1 || got[0].What != Maintenance {
		t.Errorf("maintenance of both: %v", got)
	}
}

// A hello may carry less of the version than a node knows of its own.
func TestDifferencesOfLongVersions(t *testing.T) {
	const most = 63 // in a hello, by docs/authentication.md
	long := strings.Repeat("1", most)
	git := "0.2.0~git20261129184130.732e3514fdf1"
	for _, c := range []struct {
		name, ours, theirs string
		differ             bool
	}{
		{"a build between releases", git, git, false},
		{"another build on the same second", git, git[:len(git)-1] + "2", true},
		{"a release and a build before it", "0.2.0", git, true},
		{"as long as fits", long, long, false},
		{"as long as fits, the last byte differs", long, long[1:] + "2", true},
		{"longer, equal", long + "345", long + "345", false},
		{"longer, different behind the cut", long + "345", long + "678", false},
		{"longer than the other, which fits", long + "345", long, false},
		{"longer, different before the cut", "2" + long + "3", "3" + long + "3", true},
		{"longer, different in the last byte before the cut", long[1:] + "2345", long[1:] + "3345", true},
		{"a character at the cut", long[1:] + "é", long[1:] + "è", false},
	} {
		ours, theirs := standbyHello("fw1"), standbyHello("fw2")
		ours.Version, theirs.Version = c.ours, c.theirs
		for _, pair := range [][2]wire.Hello{{ours, theirs}, {theirs, ours}} {
			sent, err := pair[1].AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			heard, err := wire.ParseHello(sent)
			if err != nil {
				t.Fatal(err)
			}
			got := Differences(&pair[0], &heard)
			if differ := len(got) == 1 && got[0].What == Version; differ != c.differ || len(got) > 1 {
				t.Errorf("%s: %v", c.name, got)
			}
		}
	}
}

// Peers are told apart by their names, so the longest that a config allows is in a hello as a whole.
func TestLongestNodeNameIsSentWhole(t *testing.T) {
	sent := func(name string) (string, error) {
		text := "[node]\nname = \"" + name + "\"\n[[vip]]\ninterface = \"eth0\"\nvhid = 1\n" +
			"addresses = [\"192.0.2.1/24\"]\npassword = \"\"\n"
		cfg, _, err := config.Parse("f.toml", []byte(text), config.Options{Mode: 0o600})
		if err != nil {
			return "", err
		}
		g := &view.Group{Config: &cfg.Groups[0]}
		b, err := Self(&view.Node{Config: cfg}, g).AppendBinary(nil)
		if err != nil {
			return "", err
		}
		h, err := wire.ParseHello(b)
		return h.Node, err
	}
	longest := strings.Repeat("n", 64)
	if got, err := sent(longest); err != nil || got != longest {
		t.Errorf("64 bytes: sent as %q, %v", got, err)
	}
	if _, err := sent(longest + "n"); err == nil || !strings.Contains(err.Error(), "1..64 bytes") {
		t.Errorf("65 bytes: %v", err)
	}
}

func TestSelf(t *testing.T) {
	cfg := config.Default()
	cfg.Node.Name = "fw1"
	group := &config.Group{
		Interface: "eth0", VHID: 7, AdvBase: 1, AdvSkew: 100, Password: config.NewSecret([]byte("goodpass")),
		Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")},
	}
	g := &view.Group{Config: group, Preempt: true, Machine: election.View{
		State: election.Backup, Effective: election.Priority{AdvBase: 1, AdvSkew: 240}, DownTime: 3390 * time.Millisecond,
	}}
	n := &view.Node{Config: cfg, Enabled: true, Maintenance: true, Demotions: view.Demotions{
		{Demotion: api.Demotion{Name: "maintenance", Value: 240}},
	}}
	const key = 0x26b1a18b
	g.Fingerprints = ConstantOf(group, key).Fingerprints
	want := wire.Hello{
		VHID: 7, State: wire.HelloBackup, Maintenance: true, Preempt: true, Complete: true, AdvBase: 1, AdvSkew: 100,
		EffectiveAdvBase: 1, EffectiveAdvSkew: 240, Demotion: 240, TakesOverIn: 3390 * time.Millisecond,
		List: wire.ListFingerprint([]netip.Addr{addr("192.0.2.1")}), Key: key, Node: "fw1", Version: api.Version,
		Demotions: []string{"maintenance"}, Addresses: []netip.Addr{addr("192.0.2.1")},
	}
	if got := Self(n, g); !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	g.Machine.State = election.Master
	n.Demotions = view.Demotions{{Demotion: api.Demotion{Name: "work", Value: -40}}}
	if got := Self(n, g); got.State != wire.HelloMaster || got.TakesOverIn != 0 || got.Demotion != 0 {
		t.Errorf("MASTER: %+v", got)
	}
	g.Machine.State, n.Enabled = election.Init, false
	if got := Self(n, g); got.State != wire.HelloInit || got.TakesOverIn != wire.NeverTakesOver || !got.Disabled {
		t.Errorf("disabled: %+v", got)
	}
}
